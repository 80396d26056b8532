"""Files that are read back: bounded, plain, and refused in one line where they are not what they should be."""
