"""What is looked at before kdns is installed: on made-up machines, and of an API server on a real socket."""
