"""Rule sets as virtual servers, sets, addresses, and the few iptables rules around them. Pure.

- `desired`          what all service ports together want
- `tables`           the fixed iptables rules around IPVS
- `virtual_servers`  a rule set as virtual servers, addresses and sets
"""
