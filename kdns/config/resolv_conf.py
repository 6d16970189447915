"""What the kubelet writes into a Pod's resolv.conf. Pure.

Facts: pkg/kubelet/network/dns (getPodDNSType, GetPodDNS, appendDNSConfig, and the limits of the kernel's resolver).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

NAMESERVERS_MAX: Final = 3
SEARCHES_MAX: Final = 32
SEARCH_OCTETS_MAX: Final = 2048
POLICIES: Final = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")


class Resolver(NamedTuple):
    """The three lines of a resolv.conf."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Such as ``ndots:5``."""

    def present(self) -> str:
        """The file."""
        lines = [f"search {' '.join(self.searches)}"] if self.searches else []
        lines += [f"nameserver {address}" for address in self.nameservers]
        lines += [f"options {' '.join(self.options)}"] if self.options else []
        return "".join(f"{line}\n" for line in lines)


def parse_resolv_conf(text: str) -> Resolver:
    """A node's own file: the last ``search`` line counts, options add up, other lines are left out."""
    nameservers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        match line.split("#")[0].split(";")[0].split():
            case ["nameserver", address, *_]:
                nameservers.append(address)
            case ["search", *names]:
                searches = [name.rstrip(".") or "." for name in names]
            case ["options", *words]:
                options += [word for word in words if word not in options]
    return Resolver(tuple(nameservers), tuple(searches), tuple(options))


def resolver(
    spec: Mapping[str, Any], namespace: str, node: Resolver, cluster_dns: Sequence[str], domain: str = "cluster.local"
) -> Resolver:
    """The resolver of a Pod from its ``spec``. ``node`` is its node's; ``cluster_dns`` are the kubelet's clusterDNS.

    ValueError for what the API server would refuse: an unknown dnsPolicy, or None without a nameserver.
    """
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    config = spec.get("dnsConfig") or {}
    if policy not in POLICIES:
        raise ValueError(f"dnsPolicy {policy!r} is none of {', '.join(POLICIES)}")
    if policy == "None":
        if not config.get("nameservers"):
            raise ValueError("dnsPolicy None needs dnsConfig.nameservers")
        parsed = Resolver()
    elif policy == "Default" or (policy == "ClusterFirst" and spec.get("hostNetwork")):
        parsed = node
    else:
        cluster = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)
        parsed = Resolver(tuple(cluster_dns), _once((*cluster, *node.searches)), ("ndots:5",))
    nameservers = _once((*parsed.nameservers, *(config.get("nameservers") or ())))
    searches = _once((*parsed.searches, *(config.get("searches") or ())))
    return Resolver(
        nameservers[:NAMESERVERS_MAX], _that_fit(searches), _merged(parsed.options, config.get("options") or ())
    )


def _once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _that_fit(searches: Sequence[str]) -> tuple[str, ...]:
    """The first ones: at most 32, and 2048 octets with the blanks between them."""
    kept = list(searches[:SEARCHES_MAX])
    while len(" ".join(kept)) > SEARCH_OCTETS_MAX:
        kept.pop()
    return tuple(kept)


def _merged(options: Iterable[str], more: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Options of dnsConfig replace those of the same name."""
    values: dict[str, str] = {}
    for option in options:
        name, _, value = option.partition(":")
        values[name] = value
    for entry in more:
        values[str(entry["name"])] = str(entry.get("value") or "")
    return tuple(f"{name}:{value}" if value else name for name, value in values.items())
