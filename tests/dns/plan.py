"""What the responder's tests ask about: objects, names, types, and forms of queries."""

import random

from kdns.config.settings import KubernetesOptions
from kdns.wire.name import parse_name
from kdns.wire.numbers import AAAA, ANY, AXFR, CNAME, HTTPS, IXFR, MX, NS, PTR, SOA, SRV, TXT, A
from kdns.wire.query import edns_option
from tests.build import tcp, view
from tests.dns.messages import Opt
from tests.records.shop import SHOP

HUNDRED = view("shop/hundred", ips=("None",), ports=(tcp(80, "http"),), endpoints=[f"10.244.9.{i}" for i in range(100)])
THOUSANDS = view(
    "shop/thousands",
    ips=("None",),
    ports=(tcp(80, "http"),),
    endpoints=[f"10.245.{i // 250}.{i % 250}" for i in range(4500)],
)
OBJECTS = (*SHOP, HUNDRED, THOUSANDS)
OPTIONS = KubernetesOptions(pods="insecure")
NAMES = tuple(
    parse_name(text)
    for text in (
        "cluster.local.",
        "svc.cluster.local.",
        "dns-version.cluster.local.",
        "ns.dns.cluster.local.",
        "shop.svc.cluster.local.",
        "web.shop.svc.cluster.local.",
        "_http._tcp.web.shop.svc.cluster.local.",
        "_tcp.web.shop.svc.cluster.local.",
        "10-244-1-4.web.shop.svc.cluster.local.",
        "db.shop.svc.cluster.local.",
        "db-0.db.shop.svc.cluster.local.",
        "anon.shop.svc.cluster.local.",
        "hundred.shop.svc.cluster.local.",
        "thousands.shop.svc.cluster.local.",
        "dead.shop.svc.cluster.local.",
        "outside.shop.svc.cluster.local.",
        "alias2.shop.svc.cluster.local.",
        "dangling.shop.svc.cluster.local.",
        "loop-a.shop.svc.cluster.local.",
        "literal.shop.svc.cluster.local.",
        "nope.shop.svc.cluster.local.",
        "www.example.com.nope.svc.cluster.local.",
        "1-2-3-4.shop.pod.cluster.local.",
        "9.0.96.10.in-addr.arpa.",
        "96.10.in-addr.arpa.",
        "4.1.244.10.in-addr.arpa.",
        "1.2.3.4.in-addr.arpa.",
        "www.example.com.",
        ".",
    )
)
RTYPES = (A, AAAA, SRV, PTR, CNAME, TXT, SOA, NS, MX, ANY, HTTPS, 97, AXFR, IXFR, 41, 0, 65535)
OPTS = (
    None,
    Opt(),
    Opt(0),
    Opt(512),
    Opt(513),
    Opt(700),
    Opt(4096),
    Opt(65535, do=True),
    Opt(version=1),
    Opt(version=255, options=edns_option(10, b"cookie!!")),
)
VARIANTS = (
    Opt(options=edns_option(10, b"cookie!!")),  # RFC 7873
    Opt(options=edns_option(3, b"")),  # NSID, RFC 5001
    Opt(512, do=True, options=edns_option(8, b"\0\1\x18\0\xc0\0\2")),  # client subnet, RFC 7871
    Opt(4096, options=edns_option(12, bytes(400))),  # padding, RFC 7830
    Opt(options=edns_option(65001, b"unknown") + edns_option(10, b"cookie!!")),
    Opt(700, options=b"\0\x0a\0\x08cut"),  # an option that is cut: RFC 6891 does not say what to do with it
    Opt(z=0x7FFF),
    Opt(do=True, z=1, options=edns_option(10, b"cookie!!")),
)
"""OPT records that make no difference to an answer where no plugin reads them."""
FLAGS = (0, 0x0100, 0x0110, 0x0120, 0x0130, 0x0300, 0x7900, 0x0001, 0x8100)
IGNORED = (0x0400, 0x0200, 0x0080, 0x0040, 0x0008, 0x0004, 0x0002, 0x0001)
"""Header flags that mean nothing in a query: AA, TC, RA, Z, and the four bits of the rcode (RFC 1035 section 4.1.1)."""


def spelled(name: bytes, seed: int) -> bytes:
    """A name with the case of its letters changed at random, as 0x20 clients do."""
    source = random.Random(seed)
    return bytes(each - 32 if 97 <= each <= 122 and source.random() < 0.5 else each for each in name)
