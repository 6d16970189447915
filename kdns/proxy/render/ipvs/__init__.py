"""Rule sets as virtual servers, sets, addresses, and the few iptables rules around them. Pure."""
