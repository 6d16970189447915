"""One file for each plugin; they are strangers to each other. Here is the order in which they stand, as data.

A plugin's module is imported when a Corefile names its directive, see `kdns.dns.server.registry`.
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
