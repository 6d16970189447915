"""Objects become RRsets, RRsets become answers that are ready to send.

::

    Change ──> cluster.update ─> services, addresses ─> lookup(name, rtype) ──> Result (RRsets, or a reason)
                  │                                                              │
                  └── which service, which addresses changed ──> answers ────────┴──> Answer (octets)

- `schema`   the options that shape names: zones, ttl, Pod mode
- `reasons`  why there is no such record: rcode, code of `kdns explain` and words, in one place
- `rrset`    RRset and Result, with the object each record came from
- `service`, `pod`, `reverse`, `apex`   one family of names each: what it puts under a name
- `endpoint`  one row of a slice and its label
- `cluster`  the objects by name and by address: takes in a Change
- `zone`     the cluster as a tree of names: `apply` a Change, `lookup` a name, walk all `records`
- `answers`  Results compiled into octets when first asked for, dropped when a Change touches them
- `present`  RRsets as the lines of a master file, or as values for JSON

Pure: no socket, no clock (times are arguments), no randomness, and nothing about transports.
"""
