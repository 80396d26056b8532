"""`python -m auricle`."""

from auricle.start import main

main()
