"""`python -m auricle` runs the program."""

from auricle.start import main

main()
