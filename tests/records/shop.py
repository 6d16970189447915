"""The example cluster that most cases ask about: one Service of each kind."""

from kdns.base.objects import ServiceView
from tests.build import Endpoint, Thing, namespace, pod, slice_, tcp, udp, view

WEB = view(
    "shop/web",
    ips=("10.96.0.9", "fd00:10:96::9"),
    ports=(tcp(80, "http"), tcp(443, "https")),
    target_ports=(tcp(8080, "http"), tcp(8443, "https")),
    endpoints=(
        Endpoint("10.244.1.4", pod="web-6b7"),
        Endpoint("10.244.2.4", pod="web-x2x"),
        Endpoint("fd00:10:244:1::4", pod="web-6b7"),
    ),
)
DB = view(
    "shop/db",
    ips=("None",),
    ports=(tcp(5432, "pg"),),
    endpoints=(
        Endpoint("10.244.1.10", "db-0"),
        Endpoint("10.244.2.10", "db-1"),
        Endpoint("fd00:10:244:1::a", "db-0"),
    ),
)
ANON = view(
    "shop/anon",
    ips=("None",),
    ports=(tcp(9000, "api"), udp(9001, "gossip")),
    endpoints=("10.244.1.20", "fd00:10:244:1::20", "fd00:10:244:2::"),
)
PLAIN = view("shop/plain", ips=("10.96.0.11",), ports=(tcp(80),), endpoints=("10.244.1.30",))
"""Its only port has no name."""
PORTLESS = view("shop/portless", ips=("None",), endpoints=("10.244.1.40",))
"""Headless without ports."""
DEAD = view("shop/dead", ips=("None",), ports=(tcp(80, "http"),))
"""Headless without a ready endpoint."""
IDLE = view("shop/idle", ips=("10.96.0.12",), ports=(tcp(80, "http"),))
"""A cluster IP without a ready endpoint."""
SIX = view("shop/six", ips=("fd00:10:96::6",), ports=(udp(53, "dns"),))
"""IPv6 only."""
EXTERNAL = view("shop/outside", external="WWW.Example.com")
ALIAS = view("shop/alias", external="web.shop.svc.cluster.local")
ALIAS_OF_ALIAS = view("shop/alias2", external="alias.shop.svc.cluster.local.")
SIX_ALIAS = view("shop/alias6", external="six.shop.svc.cluster.local")
DANGLING = view("shop/dangling", external="nobody.shop.svc.cluster.local")
LOOP_A = view("shop/loop-a", external="loop-b.shop.svc.cluster.local")
LOOP_B = view("shop/loop-b", external="loop-a.shop.svc.cluster.local")
SELF = view("shop/self", external="self.shop.svc.cluster.local")
LITERAL = view("shop/literal", external="192.0.2.7")
LITERAL_6 = view("shop/literal6", external="2001:db8::7")
ORPHAN = ServiceView(
    None,
    (slice_("shop/gone-abc", "gone", (Endpoint("10.244.3.3", "gone-0"), "10.244.3.4"), (tcp(80, "http"),)),),
)
"""Its Service was deleted, its slice was not yet."""

SHOP: tuple[Thing, ...] = (
    namespace("empty"),
    namespace("shop"),
    WEB,
    DB,
    ANON,
    PLAIN,
    PORTLESS,
    DEAD,
    IDLE,
    SIX,
    EXTERNAL,
    ALIAS,
    ALIAS_OF_ALIAS,
    SIX_ALIAS,
    DANGLING,
    LOOP_A,
    LOOP_B,
    SELF,
    LITERAL,
    LITERAL_6,
    ORPHAN,
    pod("shop/web-6b7", "10.244.1.4"),
    pod("shop/six-0", "fd00:10:244:1::a"),
    pod("shop/starting", ""),
)
