"""A Pod's resolv.conf, as the kubelet writes it for each dnsPolicy and dnsConfig."""

from typing import Any

import pytest

from kdns.config.resolv_conf import Resolver, parse_resolv_conf, resolver

NODE = parse_resolv_conf("""
# written by a person
nameserver 172.18.0.1
nameserver 172.18.0.100  ; another
domain ignored.example
search corp.example cluster.local.
options timeout:2 attempts:3
options timeout:2
""")
CLUSTER = "default.svc.cluster.local svc.cluster.local cluster.local"

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing said": ({}, f"search {CLUSTER} corp.example\nnameserver 10.96.0.10\noptions ndots:5\n"),
    "ClusterFirst": (
        {"dnsPolicy": "ClusterFirst"},
        f"search {CLUSTER} corp.example\nnameserver 10.96.0.10\noptions ndots:5\n",
    ),
    "ClusterFirst in the host's network": (
        {"dnsPolicy": "ClusterFirst", "hostNetwork": True},
        "search corp.example cluster.local\nnameserver 172.18.0.1\nnameserver 172.18.0.100\n"
        "options timeout:2 attempts:3\n",
    ),
    "ClusterFirstWithHostNet": (
        {"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True},
        f"search {CLUSTER} corp.example\nnameserver 10.96.0.10\noptions ndots:5\n",
    ),
    "Default": (
        {"dnsPolicy": "Default"},
        "search corp.example cluster.local\nnameserver 172.18.0.1\nnameserver 172.18.0.100\n"
        "options timeout:2 attempts:3\n",
    ),
    "None": (
        {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"], "searches": ["a.example"]}},
        "search a.example\nnameserver 192.0.2.1\n",
    ),
    "more of everything": (
        {
            "dnsConfig": {
                "nameservers": ["192.0.2.1", "10.96.0.10", "192.0.2.2", "192.0.2.3"],
                "searches": ["a.example", "corp.example"],
                "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
            }
        },
        f"search {CLUSTER} corp.example a.example\nnameserver 10.96.0.10\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"
        "options ndots:2 edns0\n",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_kubelet_writes(case: str) -> None:
    """Each policy, with and without more of the Pod's own."""
    spec, text = CASES[case]
    assert resolver(spec, "default", NODE, ["10.96.0.10"]).present() == text


@pytest.mark.parametrize(
    ("spec", "words"),
    [({"dnsPolicy": "None"}, "nameservers"), ({"dnsPolicy": "None", "dnsConfig": {}}, "nameservers"),
     ({"dnsPolicy": "clusterfirst"}, "clusterfirst")],
)  # fmt: skip
def test_what_the_api_server_refuses(spec: dict[str, Any], words: str) -> None:
    """None without a name server, and policies that are none."""
    with pytest.raises(ValueError, match=words):
        resolver(spec, "default", NODE, ["10.96.0.10"])


def test_what_the_resolver_can_hold() -> None:
    """At most 32 search domains, and no more than 2048 octets of them."""
    many = Resolver(searches=tuple(f"s{number}.example" for number in range(50)))
    assert len(resolver({"dnsPolicy": "Default"}, "default", many, []).searches) == 32
    long = Resolver(searches=tuple(f"{'x' * 200}{number}.example" for number in range(30)))
    kept = resolver({"dnsPolicy": "Default"}, "default", long, []).searches
    assert len(" ".join(kept)) <= 2048
    assert kept == long.searches[: len(kept)]
    assert len(kept) == 9
