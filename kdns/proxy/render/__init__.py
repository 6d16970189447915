"""Rule sets as text or desired state, each in the way of one mode. Pure; strangers to each other."""
