"""Health of the proxy and of Services over HTTP, as kube-proxy tells it."""
