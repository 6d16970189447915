"""Rule sets as input for iptables-restore, chain names as kube-proxy makes them. Pure."""
