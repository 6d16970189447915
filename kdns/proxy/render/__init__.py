"""Rule sets as text or desired state, each in the way of one mode. Pure; strangers to each other.

- `iptables`  input for iptables-restore
- `ipvs`      virtual servers, sets and addresses
- `nftables`  elements and chains of nftables
"""
