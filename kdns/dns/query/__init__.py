"""From the octets of a query to those of its reply: which server block takes it, the fast path, and the way through the
chain with its guards.

- `forward_path`  from a query that an upstream answers to its reply, octets all the way
- `forms`       the forms of queries that the fast path takes
- `gate`        the acl of the server block that a rewritten name belongs to
- `guard`       a plugin's bug costs one SERVFAIL
- `remembered`  what the fast path remembers of a message
- `responder`   the octets of a query to those of its reply
- `router`      which server block a name belongs to
- `top`         who asks what, and the last failures
"""
