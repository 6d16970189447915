"""One file for each plugin; they are strangers to each other."""
