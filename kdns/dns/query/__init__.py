"""From the octets of a query to those of its reply: which server block takes it, the fast path, and the way through the
chain with its guards."""
