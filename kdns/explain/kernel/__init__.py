"""What a node's kernel does with a packet, read from what its own tools print. Pure.

::

    iptables-save ──iptables_text──┐                          a packet
    nft list ruleset ──nft_text────┼──> tables (model) ──walk──> ends ──> outcome: backends with shares, reject, drop
    ipset save, ipvsadm ───────────┘                                         │
    the proxy's policy ──kdns.proxy.trace──> the desired outcome ────────────┴──difference──> what differs, and why

    node        everything that the evidence has of one node: rules, addresses, routes, sysctls, flows
    flows       ``conntrack -L`` and ``conntrack -S``
    diff        every frontend of a node's rule set, asked for in the kernel
    machine     ``sysctl -a``, ``ip -o addr``, ``ip route show table all``

Rules are parsed when a packet comes to their chain: a large cluster has 300,000 of them, and a question meets a few.
A match that is not understood makes the outcome unknown wherever it could matter, and is named; it is never guessed.
Nothing here knows a link of the chain or a code.

- `iptables_rule`, `nft_rule`, `nft_fields`, `nft_json`  one rule, and the forms in which nft prints rules
- `ipvs`       virtual servers
- `structure`  chains and jumps that every Service needs
- `matching`   whether a packet matches; `words`: what a rule does, as a sentence
- `diff`       every frontend of a rule set, asked for in the kernel
"""
