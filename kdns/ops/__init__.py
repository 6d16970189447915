"""What operators see of a running kdns: logs on stdout, and health, readiness and metrics over HTTP.

- `logs`       the form of a log line
- `http`       /health, /ready and /metrics
- `changed`    waits until a file says something else
- `direct_loop`  the event loop of servers: it calls readers of datagrams where it waits
- `port`       one such port, opened and closed
- `http_connections`  the connections of one HTTP port, bounded
- `listen`     the addresses of those, read and bound
- `tls`        TLS to servers that we ask: the API server, upstream resolvers
- `process`    what this process asks of Python and of the kernel

Nothing here knows DNS or packets: `kdns.dns.server.app` hands over what they show.

- `file_stamp`  has a file changed?
- `progress`    a line on a terminal for work that takes its time
- `scratch`     a folder for files that live for a moment
- `shutdown`    signals become events: end, reload
- `tls_stream`  TLS on an open connection, in little memory
"""
