"""The commands: one file each. The parser builds them; what a command needs is imported when that command runs."""
