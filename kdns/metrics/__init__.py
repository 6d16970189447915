"""Everything that is counted, declared once. Nothing is measured here.

- `dns`       what a DNS server counts, under CoreDNS's names
- `proxy`     what the Service proxy counts, under kube-proxy's names
- `local_dns`  what is counted of DNS on the node's own cluster-DNS address
- `cluster`   what is counted of the API server and of the watches
- `cells`     families for hot paths, written without locks
- `families`  what metric families are made with
- `scraped`   what another process counts, as its page says
- `sketch`    the most frequent keys of a stream, in bounded memory
- `windows`   the same over the last minute, ten minutes and hour
"""
