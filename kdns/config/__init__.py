"""Configuration as text becomes typed values here. Pure, but for `load`, which reads files."""
