"""This room holds the commands of `auricle`, a file each, and the command line that they make up."""
