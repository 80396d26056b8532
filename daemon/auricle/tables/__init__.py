"""Tables show what was heard in recordings: to spreadsheets, to Raven and Audacity, to programs."""
