"""The sound around events is kept in files: what lately was heard, cut out, written and bounded."""
