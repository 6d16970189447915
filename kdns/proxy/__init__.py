"""The way of a packet: Services and their endpoints become rules, and rules become what the kernel reads.

::

    ServiceView ──> service_ports, endpoints ──> rules ──────────> RuleSet ──┬─> render/iptables ─> apply/iptables
                    what there is to reach        (THE policy:               ├─> render/nftables ─> apply/nftables
                                                   who goes where,           └─> render/ipvs ─────> apply/ipvs
                    topology: which endpoints      what is refused)   trace: what a packet meets, for tests and people

    changes: what the kernel was given, and what it should have    stale_flows: UDP flows whose endpoint is gone
    proxier: changes -> decisions -> kernel -> commit -> report, once per address family

Everything is decided once, in `rules`. Renderers only spell it, and are strangers to each other; what is in ``apply``
only runs it. Only ``apply``, ``machine``, ``proxier`` and what runs it may wait, read a clock or open anything.

- `app`          the composition root of ``kdns proxy``
- `apply`        what is rendered goes into the kernel
- `caught_up`    who waits until the kernel has what is known of the cluster
- `conflicts`    which service port gets a frontend that several claim
- `decisions`    what is decided of every Service, and what of it the kernel has
- `family_proxy` all parts of one address family
- `healthcheck`  health of the proxy and of Services over HTTP
- `in_force`     how long the last changes took to reach the kernel
- `left_out`     what is not programmed, and why
- `machine`      what the proxy asks of its machine
- `model`        service ports, endpoints and the rule set, as values
- `node_policy`  what operator and Node decide, for one address family
- `node_view`    what the cluster says of this node and of others, for that policy
- `present`      rule sets as plain values, for programs
- `report`       what follows from a round: health, metrics, flows, Events
- `reserved`     addresses that never get a rule
- `schedule`     when a proxier does what
"""
