"""One file for each plugin; they are strangers to each other. Here is the order in which they stand, as data.

A plugin's module is imported when a Corefile names its directive, see `kdns.dns.server.registry`.

- `acl`           who may ask what
- `any`           short answers to ANY (RFC 8482)
- `autopath`      a client's search list, walked here
- `bind`          the addresses that a server block listens on
- `bufsize`       a limit on UDP replies
- `cache`         answers of the plugins behind it, kept
- `cancel`        a limit on the time for a question
- `chaos`         version and authors, in class CH (RFC 4892)
- `debug`         lines of level DEBUG
- `dns64`         AAAA made from A (RFC 6147)
- `errors`        what went wrong, in the log
- `file`          ``file``: zones from master files (RFC 1035 section 5), such as stub zones of a cluster's own
- `forward`       questions for other resolvers
- `header`        flags of queries and replies, set and cleared
- `health`        the page /health, and the lame duck
- `hosts`         names from a file like /etc/hosts
- `k8s_external`  names for Services reached from outside
- `kubernetes`    the cluster's own names
- `loadbalance`   the order of addresses in a reply
- `local`         names that should not leave this machine (RFC 6303, RFC 6761)
- `log`           a line for each question
- `loop`          forwarding loops, found at the start
- `metadata`      what plugins know of a question, for log formats
- `minimal`       replies without additional sections
- `nsid`          which server answered (RFC 5001)
- `prometheus`    the page /metrics
- `ready`         the page /ready
- `reload`        how often the Corefile is read again
- `rewrite`       questions changed on their way in, replies on their way out
- `shortnames`    ``service.namespace`` for clients without a search list
- `status`        the pages for people
- `template`      replies from patterns and texts
- `timeouts`      limits of connections
- `tls`           the certificate for ``tls://`` and ``https://``
- `top`           the page /top: who asks what
- `transfer`      zone transfers and NOTIFY (RFC 5936, RFC 1996)
- `view`          a server block for some requests only
- `whoami`        a client's own address and port
"""

from typing import Final

ORDER: Final = (
    "metadata",
    "cancel",
    "timeouts",
    "reload",
    "nsid",
    "bufsize",
    "bind",
    "debug",
    "ready",
    "health",
    "prometheus",
    "top",
    "status",
    "errors",
    "log",
    "local",
    "dns64",
    "any",
    "chaos",
    "loadbalance",
    "rewrite",
    "autopath",
    "acl",
    "shortnames",
    "cache",
    "header",
    "tls",
    "minimal",
    "template",
    "transfer",
    "hosts",
    "k8s_external",
    "kubernetes",
    "file",
    "loop",
    "forward",
    "whoami",
    "view",
)
"""From the client inwards, whatever the order in the Corefile: CoreDNS's order, and ``shortnames``, which is ours:
behind acl, and before the cache, since its answers are the cluster's and must not grow old."""

LEFT_OUT: Final = {
    "dnstap": "no messages are copied; log has the questions, and prometheus the numbers",
    "multisocket": "one process uses one core; more replicas use more",
    "pprof": "it is about Go; py-spy shows what a Python process does",
    "shed": "kdns answers what it can, and the kernel drops the rest",
    "trace": "no spans are sent; log has every question with its duration",
}
"""Directives of CoreDNS on which no answer depends: a Corefile that names one is served without it, with a warning."""
UNSUPPORTED: Final = {
    "acme": "get certificates with cert-manager and name the files with tls",
    "auto": "name each zone file with file",
    "azure": "forward to Azure's resolver, 168.63.129.16",
    "clouddns": "forward to Google's resolver, 169.254.169.254",
    "dnssec": "kdns does not sign; leave it out, and name zones that were signed elsewhere with file",
    "erratic": "it is for tests of clients; kdns has none of it",
    "etcd": "kdns does not read etcd; hosts and template answer for fixed names",
    "federation": "multicluster of kubernetes has taken its place",
    "geoip": "kdns has no data base of places; view and acl choose by network",
    "grpc": "forward to tls://ADDRESS or https://ADDRESS instead",
    "grpc_server": "serve tls:// or https:// instead",
    "https3": "serve https:// instead",
    "nomad": "kdns knows Kubernetes only",
    "on": "kdns runs no commands",
    "proxy": "forward has taken its place",
    "proxyproto": "kdns sees the address of the load balancer; leave it out where no load balancer adds a header",
    "quic": "serve tls:// or https:// instead",
    "root": "write the folder in front of the names of files",
    "route53": "forward to the VPC's resolver, 169.254.169.253",
    "secondary": "forward to the primary server, or name a copy of the zone with file",
    "sign": "kdns does not sign; sign the zone elsewhere, and name the signed file with file",
    "tsig": "restrict transfer with `to ADDRESS`",
    "upstream": "it is gone from CoreDNS as well; leave it out",
}
"""Other directives of CoreDNS that kdns does not have, and what to do instead: one in a Corefile is an error."""
