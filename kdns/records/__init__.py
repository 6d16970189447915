"""Objects become RRsets, RRsets become answers that are ready to send. Each record and each miss says why.

::

    Change ──> cluster.update ──> services, imports, addresses ──> zone.lookup(name, rtype)
                    │                                                    │
                    │ touched: keys of objects, addresses                ├──> Result: RRsets, each with its source
                    v                                                    └──> Result or Missing: a reason
              answers.apply drops what was compiled from them                      │
              answers.find  compiles what is asked for ──> Answer (octets)         └──> rcode, code, words

- `schema`   the options that shape names: zones, ttl, Pod mode
- `reasons`  why there is no such record: rcode, code of `kdns explain` and words, in one place
- `rrset`    RRset, Node and Result, with the object each record came from
- `serial`   the serial of a zone's SOA
- `clients`  whose address is this: the Pod that asks
- `endpoint`, `zonal`  one row of a slice and its label; the rows in one topology zone
- `service`, `pod`, `reverse`, `apex`   one family of names each: what is at a name, or why nothing is
- `cluster`  the objects by name and by address: takes in a Change, says what it touches
- `zone`     the cluster as a tree of names: `lookup` a name, walk all `records`
- `external`, `transfer`  names for Services as seen from outside; one zone as it is copied to another server
- `answers`  Results compiled into octets when first asked for, dropped when a Change touches them
- `present`  RRsets as the lines of a master file, or as values for JSON

A Change comes in by one call, `answers.Answers.apply`, and everything here is as it says before the next question is
read. Nothing is looked up again to find a source or a reason: both are made where they are known, and kept.

Pure: no socket, no clock (times are arguments), no randomness, and nothing about transports.
"""
