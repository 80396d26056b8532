"""What several tests share: sounds, stage laws, listeners, servers and machines of their own."""
