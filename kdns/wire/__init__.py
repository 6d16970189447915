"""The hot path's view of a DNS message, pure: numbers, names, triage, EDNS, composition.

Names in here are folded wire form (RFC 1035 section 3.1: length-prefixed labels, ending in the root's zero octet),
lower case, as ``bytes``; the text form ends in ``_text``. What goes to upstreams and comes back is in `message` and
`rdata`; presentation of rdata is dnslib's. No sockets, no clock.
"""
