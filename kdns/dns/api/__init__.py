"""What a plugin sees: handlers, requests and responses, the parts it may ask for, zones. Plugins import this and
below."""
