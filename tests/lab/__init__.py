"""The lab: a cluster out of network namespaces."""
