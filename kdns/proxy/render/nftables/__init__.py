"""Rule sets as elements and chains of nftables. Pure."""
