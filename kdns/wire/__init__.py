"""A DNS message as octets, pure: names, triage, EDNS, composition; and the tables of types and response codes.

Names in here are folded wire form (RFC 1035 section 3.1: length-prefixed labels, ending in the root's zero octet),
lower case, as ``bytes``; the text form ends in ``_text``. What goes to upstreams and comes back is in `message` and
`rdata`. `types` and `rcodes` have IANA's tables, `numbers` those that code names. No sockets, no clock.

- `compose`  records become sections, with names compressed (RFC 1035 section 4.1.4)
- `name`     domain names in folded wire form (RFC 4343)
- `query`    a message becomes a Query (RFC 6891)
- `reverse`  reverse names, and zones written as CIDRs
- `rr`       one resource record in wire form
- `ttl`      how long a reply may be kept
- `walk`     a response that is sent on as it came
"""
