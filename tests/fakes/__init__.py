"""Stand-ins with behaviour, for what kdns talks to: an API server on a real socket, and the objects it serves."""
