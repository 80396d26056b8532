"""This room holds what commands share on their way to and from a person: options, lines of text, rules, bars."""
