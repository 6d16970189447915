"""A DNS message as octets, pure: names, triage, EDNS, composition; and the tables of types and response codes.

Names in here are folded wire form (RFC 1035 section 3.1: length-prefixed labels, ending in the root's zero octet),
lower case, as ``bytes``; the text form ends in ``_text``. What goes to upstreams and comes back is in `message` and
`rdata`. `types` and `rcodes` have IANA's tables, `numbers` those that code names. No sockets, no clock.
"""
