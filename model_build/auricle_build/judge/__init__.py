"""This room says how good a model is: on clips, in false alarms, in delay; and chooses its thresholds."""
