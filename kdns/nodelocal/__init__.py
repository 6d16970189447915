"""DNS on the node's own cluster-DNS address, and the kernel's way around it when it does not answer.

::

    a Pod asks 10.96.0.10:53
        │  prerouting, priority raw
        ├─ the address is in the set `alive` ──> not tracked ──> local (a route of type local) ──> kdns on this node
        └─ it is not ──> tracked ──> the Service rules ──> DNS on another node

    kdns asks its own listener, from the address to the address, every 80 ms: the *answer*, as it leaves, puts the
    address into `alive` for 300 ms. A process that was killed, was stopped or is stuck answers nothing, so the
    element expires, and the kernel goes around it without anything watching.

    plan        the cluster's Service -> addresses, and whether there is a DNS to fail over to        pure
    liveness    which answers count, and for how long                                                pure
    nftables    rules as a script for nft                                                            pure
    iptables    rules for iptables-restore, which count answers in place of the element              pure
    rules       writes them, looks at them, removes them
    heartbeat   asks, and says when it was answered
    parts       what else the app is handed: the server, routes
    app         all of it, from the first Service to the end of the process

The rules are a table of their own and not in the proxy's: that one is deleted and made again where a repair needs it,
and kube-proxy may take it over. Nothing here imports dns or proxy: `kdns node` hands in what it needs of both.
Rules and routes stay when the process ends, for the next one; `--cleanup` removes them.
"""
