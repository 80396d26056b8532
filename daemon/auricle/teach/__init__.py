"""This room teaches a network's embedding a sound of somebody's own, from twenty clips or so (`auricle teach`)."""
