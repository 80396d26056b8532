"""This room says how good decisions are, against the truth, and which rules keep a budget of false alarms."""
