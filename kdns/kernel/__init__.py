"""The kernel of this machine, as the proxy, DNS and the lab share it: netlink, addresses, sysctls, capabilities, and
tools that are run. Nothing here knows what a Service is.

- `capability`  does this process have CAP_NET_ADMIN?
- `conntrack`   flows that the kernel tracks (conntrack), by netlink: UDP flows to a frontend are listed, and deleted
                by a handle
- `dummy_link`  A link without a wire, which holds addresses that this node answers for
- `interfaces`  links of this machine and their addresses
- `ipset`       sets of the kernel (ipset), by netlink
- `local_route`  addresses made local by a route alone
- `netlink`     messages by the thousand, transactions, dumps
- `nfacct`      counters of the kernel that rules add to
- `nft_elements`  elements of nftables' sets and maps, as octets; pure
- `nftables`    transactions of nftables by netlink, and what its sets hold
- `sysctl`      settings below /proc/sys
"""
