"""Objects in, zone lines out."""
