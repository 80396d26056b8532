"""This room reads files back that were kept: bounded, plain, and refused in one line where they are not what they
should be."""
