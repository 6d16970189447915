"""The edge: what is rendered goes into the kernel, and nothing is decided.

- `applier`         the interface of each mode: one applier for one family
- `flow_cleaner`    stale UDP flows deleted, in a thread and at a measured pace
- `ipset`           sets of the kernel, through netlink
- `iptables`        iptables mode, for one family
- `iptables_look`   what iptables has now, in a small form
- `iptables_probe`  whether tool and kernel can do what the rules need
- `iptables_tools`  which variant of iptables to use
- `ipvs`            IPVS mode, for one family
- `ipvs_rules`      the few iptables rules of IPVS mode
- `ipvs_state`      what the kernel has of IPVS mode, and the way to what is wanted
- `ipvs_virtual`    virtual servers, through generic netlink
- `modes`           the applier of each mode, and its dry run
- `nftables`        nftables mode: remembers what it wrote, and writes what differs
- `nftables_table`  the table in the kernel: elements by netlink, the rest by ``nft``
- `nftables_watch`  what other processes do to that table, as the kernel notifies of it
- `present`         whether this node's kernel already has Service rules: ours, or kube-proxy's, from before this
                    process began
"""
