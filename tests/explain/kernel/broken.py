"""Clusters whose kernels are broken in one way each, for `tests.explain.kernel.breaking`."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, NamedTuple

from kdns.config.kubeproxy.settings import Mode
from kdns.explain.links.rules import PROXY_NAME
from kdns.proxy.model import Family
from tests.explain.kernel import kube_proxy
from tests.explain.kernel.others import DOCKER, FIREWALLD
from tests.explain.kernel.plan import objects

MACHINE = """
ip link add eth0 type veth peer name eth0-far
ip link add cni0 type bridge
ip address add 172.18.0.2/16 dev eth0
ip address add 10.244.1.1/24 dev cni0
ip link add veth1 type veth peer name veth1-pod
ip link set veth1 master cni0
for link in lo eth0 eth0-far cni0 veth1 veth1-pod; do ip link set $link up; done
ip route add 10.244.2.0/24 via 172.18.0.3 dev eth0
ip route add default via 172.18.0.1 dev eth0
sysctl -qw net.ipv4.ip_forward=1
"""
MACHINE_IPV6 = """
ip link add eth0 type veth peer name eth0-far
ip link add cni0 type bridge
ip link add veth1 type veth peer name veth1-pod
ip link set veth1 master cni0
for link in lo eth0 eth0-far cni0 veth1 veth1-pod; do ip link set $link up; done
ip address add fd00:18::2/64 dev eth0 nodad
ip address add fd00:244:1::1/64 dev cni0 nodad
ip -6 route add fd00:244:2::/64 via fd00:18::3 dev eth0
ip -6 route add default via fd00:18::1 dev eth0
sysctl -qw net.ipv6.conf.all.forwarding=1
"""
TWO_UPLINKS = """
ip link add eth1 type veth peer name eth1-far
ip link set eth1 up
ip link set eth1-far up
ip address add 10.9.0.2/24 dev eth1
"""
"""Another interface; what comes from outside is answered by eth0, which has the default route."""
SAVES = {
    "ip6tables": ("ip6tables-save.txt", "ip6tables-nft-save"),
    "iptables": ("iptables-save.txt", "iptables-nft-save"),
    "legacy": ("iptables-legacy-save.txt", "iptables-legacy-save"),
    "nftables": ("nft.txt", "nft list ruleset"),
    "flows": ("conntrack.txt", "conntrack -L -o extended"),
}
"""File and command, by what is saved."""


class Broken(NamedTuple):
    """A case: what is loaded, what is done to it, and what must be found."""

    name: str
    mode: Mode
    do: str
    """Shell commands after the rules are in the kernel."""
    link: str
    code: str
    asked: Sequence[dict[str, Any]] = ({"target": "cart.shop:80", "from": "shop/client"},)
    state: str = "fault"
    saves: Sequence[str] = ("iptables",)
    before: str = ""
    """Objects of the moment in which the rules were written, if they are others than now: see `OBJECTS`."""
    now: str = ""
    files: Mapping[str, str] = MappingProxyType({})
    """More files of worker-1."""
    says: str = ""
    left_out: Sequence[str] = ()
    """Files of the node that are not in the evidence."""
    text: str = ""
    """Rules to load instead of ours."""
    evidence: str = ""
    """A part of a line that must be among the evidence."""
    ipv6: bool = False
    """The cluster has IPv6 alone."""


def case_objects(kind: str, mode: Mode) -> str:
    """The cluster in a few states."""
    match kind:
        case "one cart":
            return objects(mode, carts=("cart-2",))
        case "another cart":
            return objects(mode, carts=("cart-1",))
        case "one cart here":
            return objects(mode, carts=("cart-1",))
        case "no cart":
            return objects(mode, carts=())
        case "local":
            return objects(mode, cart={"externalTrafficPolicy": "Local"}, carts=("cart-2",))
        case "another proxy":
            pods, kind, others = objects(mode).partition("kind: Service\n")
            return pods + kind + others.replace("    app: cart\n", f"    app: cart\n    {PROXY_NAME}: mesh\n", 1)
        case "sticky":
            return objects(mode, cart={"sessionAffinity": "ClientIP"})
    return objects(mode)


UNHEALTHY = (
    '{"lastUpdated": "2026-11-30 10:00:00.1 +0000 UTC m=+9", "currentTime": "2026-11-30 10:20:00.5 +0000 UTC m=+1209", '
    '"nodeEligible": true, "healthy": false}\n'
)
"""What /healthz of kube-proxy says while changes wait."""
TRACK = "conntrack -I -s"
SYSCTLS = (
    "net.ipv4.ip_forward net.ipv4.conf.all.rp_filter net.ipv4.conf.all.route_localnet net.ipv6.conf.all.forwarding "
    "$(cd /proc/sys/net/ipv4/conf && for link in eth*[0-9]; do "
    "echo net.ipv4.conf.$link.rp_filter net.ipv4.conf.$link.forwarding; done)"
)
"""Of all that `kdns collect` reads: what decides about the packets of Services."""
ADDRESSES = {
    Family.IPV4: tuple(ip_address(text).packed for text in ("172.18.0.2", "10.244.1.1")),
    Family.IPV6: tuple(ip_address(text).packed for text in ("fd00:18::2", "fd00:244:1::1")),
}
EVERY_WAY: Sequence[dict[str, Any]] = (
    {"target": "cart.shop:80", "from": "shop/client"},
    {"target": "cart.shop:80", "from": "shop/cart-1"},
    {"target": "10.96.7.7:80", "from_node": "worker-1"},
    {"target": "198.51.100.20:80", "from": "shop/client"},
    {"target": "198.51.100.20:80", "outside": "203.0.113.9"},
    {"target": "172.18.0.2:30080", "outside": "203.0.113.9"},
    {"target": "172.18.0.2:30081", "from": "shop/client"},
    {"target": "198.51.100.21:80", "outside": "203.0.113.9"},
    {"target": "guarded.shop", "from": "shop/client"},
)
"""Clients and frontends; on a healthy node all of them are as the objects ask for."""
IPV6_WAYS: Sequence[dict[str, Any]] = (
    {"target": "cart.shop:80", "from": "shop/client"},
    {"target": "cart.shop:80", "from": "shop/cart-1"},
    {"target": "[fd00:96::7:7]:80", "from_node": "worker-1"},
    {"target": "[2001:db8:51::20]:80", "outside": "2001:db8:113::9"},
    {"target": "[fd00:18::2]:30080", "outside": "2001:db8:113::9"},
)
BROKEN: Sequence[Broken] = (
    Broken("healthy-iptables", "iptables", "", "rules", "", EVERY_WAY, state="ok"),
    Broken("healthy-legacy", "iptables", "", "rules", "", EVERY_WAY, state="ok", saves=("legacy",)),
    Broken("healthy-nftables", "nftables", "", "rules", "", EVERY_WAY, state="ok", saves=("nftables",)),
    Broken("healthy-kube-proxy-nftables", "nftables", "", "rules", "", EVERY_WAY, state="ok", saves=("nftables",),
           text=kube_proxy.NFTABLES),
    Broken("healthy-kube-proxy-1.22", "iptables", "", "rules", "", EVERY_WAY, state="ok", text=kube_proxy.IPTABLES_OLD),
    Broken("healthy-ipvs", "ipvs", "", "rules", "", EVERY_WAY, state="ok"),
    Broken("healthy-ipvs-without-sets", "ipvs", "", "rules", "", EVERY_WAY, state="ok", left_out=("ipset.txt",)),
    Broken("E32-real-server-stale-ipvs", "ipvs", "", "rules", "E32", now="another cart", says="10.244.2.9:8080",
           evidence="TCP 10.96.7.7:80"),
    Broken("E32-virtual-server-missing-ipvs", "ipvs", "sed '/10.96.7.7:80/,+2d'", "rules", "E32",
           says="no rule that leads on from 10.96.7.7"),
    Broken("E32-no-real-server-ipvs", "ipvs", "", "rules", "E32", before="no cart"),
    Broken("E32-weight-0-ipvs", "ipvs", "sed '/10.96.7.7:80/,+2s/Masq *1/Masq    0/'", "rules", "E32"),
    Broken("E33-marks-flushed-ipvs", "ipvs", "cat; iptables-nft -t nat -F KUBE-MARK-MASQ", "rules", "E33",
           asked=({"target": "172.18.0.2:30080", "outside": "203.0.113.9"},), says="KUBE-MARK-MASQ"),
    Broken("healthy-docker-without-routes", "iptables", DOCKER, "rules", "", EVERY_WAY, state="ok",
           left_out=("routes.txt", "addresses.txt")),
    Broken("healthy-firewalld-nftables", "nftables", FIREWALLD, "rules", "", EVERY_WAY, state="ok",
           saves=("nftables",)),
    Broken("E32-kube-proxy-nftables-element", "nftables",
           "nft delete element ip kube-proxy service-ips '{ 10.96.7.7 . tcp . 80 }'", "rules", "E32",
           saves=("nftables",), text=kube_proxy.NFTABLES),
    Broken("E32-kube-proxy-1.22-stale", "iptables", "", "rules", "E32", now="another cart",
           text=kube_proxy.IPTABLES_OLD, says="10.244.2.9:8080"),
    Broken("healthy-sticky-nftables", "nftables", "", "rules", "", state="ok", saves=("nftables",), now="sticky",
           before="sticky"),
    Broken("healthy-docker", "iptables",
           "iptables-nft -P FORWARD DROP; iptables-nft -N DOCKER-USER; iptables-nft -I FORWARD -j DOCKER-USER; "
           "iptables-nft -A DOCKER-USER -j RETURN; iptables-nft -A FORWARD -o docker0 -j ACCEPT; "
           "iptables-nft -A FORWARD -s 10.244.0.0/16 -j ACCEPT; iptables-nft -A FORWARD -d 10.244.0.0/16 -j ACCEPT",
           "rules", "", state="ok"),
    Broken("E32-stale-endpoint-iptables", "iptables", "", "rules", "E32", before="", now="another cart",
           says="10.244.2.9:8080", evidence="--to-destination 10.244.2.9:8080"),
    Broken("E32-stale-endpoint-nftables", "nftables", "", "rules", "E32", saves=("nftables",), now="another cart",
           says="10.244.2.9:8080"),
    Broken("E32-still-refused-iptables", "iptables", "", "rules", "E32", before="no cart",
           says="a rule still refuses it", evidence="has no endpoints"),
    Broken("E32-still-refused-nftables", "nftables", "", "rules", "E32", before="no cart", saves=("nftables",),
           says="a rule still refuses it"),
    Broken("E32-rule-deleted-iptables", "iptables",
           "iptables-nft -t nat -S KUBE-SERVICES | grep -e '-d 10.96.7.7/32' | sed 's/^-A/-D/' | "
           "while read line; do eval iptables-nft -t nat $line; done",
           "rules", "E32", says="no rule that leads on from 10.96.7.7"),
    Broken("E32-element-deleted-nftables", "nftables",
           "nft delete element ip kube-proxy service-ips '{ 10.96.7.7 . tcp . 80 }'",
           "rules", "E32", saves=("nftables",), says="no rule that leads on from 10.96.7.7"),
    Broken("E32-service-chain-flushed-iptables", "iptables",
           "chain=$(iptables-nft -t nat -S KUBE-SERVICES | grep -e '-d 10.96.7.7/32' | sed 's/.*-j //'); "
           "iptables-nft -t nat -F $chain", "rules", "E32", evidence="-j KUBE-SVC-"),
    Broken("E32-endpoint-missing-iptables", "iptables", "", "rules", "E32", before="another cart", now="",
           says="never sends anything to 10.244.2.9:8080"),
    Broken("E32-backend-deleted-nftables", "nftables",
           "nft delete element ip kube-proxy backends-tcp '{ 10.96.7.7 . 80 . 1 }'", "rules", "E32",
           saves=("nftables",), says="never sends anything to 10.244.2.9:8080"),
    Broken("E33-services-flushed-iptables", "iptables", "iptables-nft -t nat -F KUBE-SERVICES", "rules", "E33",
           says="KUBE-SERVICES", evidence=":KUBE-SERVICES"),
    Broken("E33-jump-missing-legacy", "iptables",
           "iptables-legacy -t nat -D PREROUTING -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES",
           "rules", "E33", saves=("legacy",), says="PREROUTING", evidence=":PREROUTING"),
    Broken("E33-services-flushed-nftables", "nftables", "nft flush chain ip kube-proxy services", "rules", "E33",
           saves=("nftables",), says="services"),
    Broken("E33-base-chain-deleted-nftables", "nftables",
           "nft flush chain ip kube-proxy nat-prerouting; nft delete chain ip kube-proxy nat-prerouting",
           "rules", "E33", saves=("nftables",), says="prerouting"),
    Broken("E33-forward-policy-iptables", "iptables", "iptables-nft -P FORWARD DROP", "rules", "E33",
           says="policy drop", evidence=":FORWARD DROP"),
    Broken("E33-foreign-table-nftables", "nftables",
           "nft add table inet guard; "
           "nft add chain inet guard forward '{ type filter hook forward priority -10; policy accept; }'; "
           "nft add rule inet guard forward ct state established,related accept; "
           "nft add rule inet guard forward ip daddr 10.244.0.0/16 tcp dport 8080 drop",
           "rules", "E33", saves=("nftables",), says="table inet guard", evidence="tcp dport 8080 drop"),
    Broken("E33-foreign-raw-drop-iptables", "iptables",
           "iptables-nft -t raw -A PREROUTING -d 10.96.0.0/12 -p tcp -j DROP", "rules", "E33",
           evidence="-A PREROUTING -d 10.96.0.0/12 -p tcp -j DROP"),
    Broken("E33-wrong-mark-iptables", "iptables",
           "iptables-nft -t nat -F KUBE-MARK-MASQ; iptables-nft -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x8000",
           "rules", "E33", asked=({"target": "172.18.0.2:30080", "outside": "203.0.113.9"},), says="another mark"),
    Broken("E33-both-variants", "iptables", "iptables-legacy-restore < $RULES", "rules", "E33",
           saves=("iptables", "legacy"), now="another cart"),
    Broken("E41-two-modes", "nftables", "iptables-nft-restore < $OTHER", "rules", "E41",
           saves=("iptables", "nftables"), now="another cart"),
    Broken("E41-proxy-name", "iptables", "", "rules", "E41", now="another proxy", says="left to a proxy called 'mesh'"),
    Broken("E35-local-policy", "iptables", "", "rules", "E35",
           asked=({"target": "depot.shop:80", "from": "shop/client"},)),
    Broken("E35-local-policy-node-port", "nftables", "", "rules", "E35", saves=("nftables",), before="local",
           now="local", asked=({"target": "172.18.0.2:30080", "outside": "203.0.113.9"},)),
    Broken("E36-source-ranges", "iptables", "", "rules", "E36",
           asked=({"target": "198.51.100.21:80", "outside": "203.0.113.200"},)),
    Broken("E37-hairpin-iptables", "iptables",
           "chain=$(iptables-nft -t nat -S | grep -e '-s 10.244.1.7/32' | sed 's/^-A \\([^ ]*\\) .*/\\1/'); "
           "iptables-nft -t nat -D $chain 1", "rules", "E37",
           asked=({"target": "cart.shop:80", "from": "shop/cart-1"},), says="reaches itself"),
    Broken("E37-hairpin-nftables", "nftables", "nft flush set ip kube-proxy hairpin", "rules", "E37",
           saves=("nftables",), asked=({"target": "cart.shop:80", "from": "shop/cart-1"},)),
    Broken("E38-primary-only", "nftables", "", "rules", "E38", saves=("nftables",),
           asked=({"target": "10.244.1.1:30080", "from_node": "worker-1"},)),
    Broken("E30-affinity-set", "nftables",
           "name=$(nft list sets | grep -o 'affinity-[^ ]*10.244.2.9/8080'); "
           "nft add element ip kube-proxy $name '{ 10.244.1.20 timeout 1h }'",
           "rules", "E30", saves=("nftables",), before="sticky", now="another sticky"),
    Broken("E31-stands-still", "iptables", "", "rules", "E31", now="another cart",
           files={"proxy-healthz.txt": UNHEALTHY}),
    Broken("E31-no-rules", "iptables",
           "iptables-nft -t nat -F; iptables-nft -t nat -X; iptables-nft -F; iptables-nft -X", "rules", "E31"),
    Broken("E40-stale-flow", "iptables",
           f"{TRACK} 10.244.1.20 -d 10.96.7.7 -r 10.244.2.77 -q 10.244.1.20 -p tcp --sport 40000 --dport 80 "
           "--reply-port-src 8080 --reply-port-dst 40000 --state ESTABLISHED -t 86400 -u ASSURED,SEEN_REPLY",
           "flow", "E40", saves=("iptables", "flows"), says="10.244.2.77:8080", evidence="src=10.244.2.77"),
    Broken("E40-flow-of-others", "nftables",
           f"{TRACK} 10.244.1.99 -d 10.96.7.7 -r 10.244.2.77 -q 10.244.1.99 -p tcp --sport 40000 --dport 80 "
           "--reply-port-src 8080 --reply-port-dst 40000 --state ESTABLISHED -t 86400 -u ASSURED,SEEN_REPLY",
           "flow", "", state="ok", saves=("nftables", "flows")),
    Broken("E40-flow-of-any-pod", "nftables",
           f"{TRACK} 10.244.1.99 -d 10.96.7.7 -r 10.244.2.77 -q 10.244.1.99 -p tcp --sport 40000 --dport 80 "
           "--reply-port-src 8080 --reply-port-dst 40000 --state ESTABLISHED -t 86400 -u ASSURED,SEEN_REPLY",
           "flow", "E40", asked=({"target": "cart.shop:80"},), saves=("nftables", "flows")),
    Broken("E27-syn-sent", "iptables",
           f"{TRACK} 10.244.1.20 -d 10.96.7.7 -r 10.244.2.9 -q 10.244.1.20 -p tcp --sport 40000 --dport 80 "
           "--reply-port-src 8080 --reply-port-dst 40000 --state SYN_SENT -t 60",
           "pod", "E27", saves=("iptables", "flows"), says="10.244.2.9:8080", evidence="SYN_SENT"),
    Broken("E30-syn-sent-by-affinity", "iptables",
           f"{TRACK} 10.244.1.20 -d 10.96.7.7 -r 10.244.2.9 -q 10.244.1.20 -p tcp --sport 40000 --dport 80 "
           "--reply-port-src 8080 --reply-port-dst 40000 --state SYN_SENT -t 60",
           "rules", "E30", saves=("iptables", "flows"), before="sticky", now="sticky", evidence="SYN_SENT"),
    Broken("healthy-flows", "iptables",
           f"{TRACK} 10.244.1.20 -d 10.96.7.7 -r 10.244.2.9 -q 10.244.1.20 -p tcp --sport 40000 --dport 80 "
           "--reply-port-src 8080 --reply-port-dst 40000 --state ESTABLISHED -t 86400 -u ASSURED,SEEN_REPLY",
           "flow", "", state="ok", saves=("iptables", "flows")),
    Broken("E34-bridge-netfilter", "nftables", "", "rules", "E34", saves=("nftables",),
           files={"sysctl.txt": "net.bridge.bridge-nf-call-iptables = 0\nnet.ipv4.ip_forward = 1\n"},
           says="bridge-nf-call-iptables is 0", evidence="net.bridge.bridge-nf-call-iptables = 0"),
    Broken("healthy-bridge-netfilter", "nftables", "", "rules", "", EVERY_WAY, state="ok", saves=("nftables",),
           files={"sysctl.txt": "net.bridge.bridge-nf-call-iptables = 1\nnet.ipv4.ip_forward = 1\n"}),
    Broken("E34-ip-forward", "iptables", "sysctl -qw net.ipv4.ip_forward=0", "rules", "E34"),
    Broken("E34-forwarding-of-an-interface", "iptables", "sysctl -qw net.ipv4.conf.eth0.forwarding=0", "rules", "E34",
           asked=({"target": "172.18.0.2:30080", "outside": "203.0.113.9"},),
           says="net.ipv4.conf.eth0.forwarding is 0", evidence="net.ipv4.conf.eth0.forwarding = 0"),
    Broken("E34-ip-forward-and-a-pod-of-this-node", "iptables", "sysctl -qw net.ipv4.ip_forward=0", "rules", "E34",
           before="one cart here", now="one cart here",
           asked=({"target": "172.18.0.2:30080", "outside": "203.0.113.9"},), says="net.ipv4.ip_forward is 0"),
    Broken("E34-strict-reverse-path-filter", "iptables",
           f"{TWO_UPLINKS} sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=1", "rules", "E34",
           asked=({"target": "10.9.0.2:30080", "outside": "203.0.113.9"},),
           says="net.ipv4.conf.eth1.rp_filter is 1", evidence="net.ipv4.conf.eth1.rp_filter = 1"),
    Broken("healthy-loose-reverse-path-filter", "iptables",
           f"{TWO_UPLINKS} sysctl -qw net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.eth1.rp_filter=1", "rules", "",
           asked=({"target": "10.9.0.2:30080", "outside": "203.0.113.9"},), state="ok"),
    Broken("E34-no-route-back", "iptables",
           "ip route del default; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=2", "rules",
           "E34",
           asked=({"target": "172.18.0.2:30080", "outside": "203.0.113.9"},),
           says="net.ipv4.conf.eth0.rp_filter is 2", evidence="net.ipv4.conf.eth0.rp_filter = 2"),
    Broken("healthy-ipv6", "iptables", "", "rules", "", IPV6_WAYS, state="ok", saves=("ip6tables",), ipv6=True),
    Broken("healthy-ipv6-nftables", "nftables", "", "rules", "", IPV6_WAYS, state="ok", saves=("nftables",), ipv6=True),
    Broken("E34-ipv6-forwarding", "iptables", "sysctl -qw net.ipv6.conf.all.forwarding=0", "rules", "E34",
           saves=("ip6tables",), ipv6=True, says="net.ipv6.conf.all.forwarding is 0",
           evidence="net.ipv6.conf.all.forwarding = 0"),
    Broken("E33-forward-policy-ip6tables", "iptables", "ip6tables-nft -P FORWARD DROP", "rules", "E33",
           saves=("ip6tables",), ipv6=True, says="policy drop", evidence=":FORWARD DROP"),
    Broken("E33-foreign-ipv6-drop-nftables", "nftables",
           "nft add table inet guard; "
           "nft add chain inet guard forward '{ type filter hook forward priority -10; policy accept; }'; "
           "nft add rule inet guard forward meta nfproto ipv6 drop",
           "rules", "E33", saves=("nftables",), ipv6=True, says="table inet guard",
           evidence="meta nfproto ipv6 drop"),
    Broken("E32-stale-endpoint-ip6tables", "iptables", "", "rules", "E32", saves=("ip6tables",), ipv6=True,
           now="another cart", says="[fd00:244:2::9]:8080"),
    Broken("unknown-match", "nftables",
           "nft add table inet guard; "
           "nft add chain inet guard forward '{ type filter hook forward priority -10; policy accept; }'; "
           "nft add rule inet guard forward ip length 1400-1500 drop",
           "rules", "", state="unchecked", saves=("nftables",)),
)  # fmt: skip
