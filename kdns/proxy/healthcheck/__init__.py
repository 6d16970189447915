"""Health of the proxy and of Services over HTTP, as kube-proxy tells it.

- `proxy_health`    whether the proxy keeps up
- `proxy_ports`     the ports 10256 and 10249
- `service_checks`  one HTTP server for each healthCheckNodePort
"""
