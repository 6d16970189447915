"""Answers of the plugins behind, kept for as long as it may be (RFC 1034 section 5.3.1, RFC 2308, RFC 8767).

::

    response ──> kinds: may it be kept, where, how long? ──> store: one Entry for each question
                                                               │
    question ──> store ──> Entry ──> records with the seconds that are left            (the chain)
                             └────> Aged: octets split where the TTLs stand            (the fast way)

Pure, but for `cache`, which asks again in the background: time is an argument everywhere, in whole seconds of a
monotonic clock, so both ways tell the same TTL at the same moment.

What the plugin ``kubernetes`` answers never gets here: it is exact and compiled already.

- `aged`        an answer whose TTLs run down, as octets
- `counts`      a cache's metrics, named as in CoreDNS
- `options`     what a Corefile can set
- `partitions`  both halves of a cache, answers and denials
"""
