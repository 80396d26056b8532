"""This room writes the pages that say how good models and the gate are, with all that they are judged on."""
