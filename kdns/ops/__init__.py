"""What operators see of a running kdns: logs on stdout, and health, readiness and metrics over HTTP.

- `logs`       the form of a log line
- `readiness`  which kinds of objects are still missing, and why; pure
- `http`       /health, /ready and /metrics
- `listen`     the addresses of those, read and bound
- `process`    what this process asks of Python and of the kernel

Nothing here knows DNS: `kdns.app` hands over what is to be told.
"""
