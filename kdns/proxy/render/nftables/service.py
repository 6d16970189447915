"""One service port as elements and chains of nftables mode.

Most Services need no chain of their own: their frontends lead to ``spread/N``, which all Services with N endpoints
share and which finds the endpoints by frontend and random number::

    service-ips    10.96.0.10 . udp . 53 : goto spread/2/udp/not-pod
    backends-udp   10.96.0.10 . 53 . 0   : 10.244.0.3 . 53
    backends-udp   10.96.0.10 . 53 . 1   : 10.244.1.7 . 53

A frontend with several paths (traffic policy Local: pods and the node go the short way) gets a chain that tells the
sources apart and then goes to shared ones. Affinity needs chains and a set for each endpoint, as kube-proxy has them.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from msgspec import Struct, field

from kdns.kernel.nft_elements import compose_leading, compose_mapped
from kdns.proxy.model import (
    Backend,
    Entry,
    Frontend,
    FrontendKind,
    Masquerade,
    NodeRules,
    Path,
    Protocol,
    ServicePortRules,
)
from kdns.proxy.render.nftables import fixed
from kdns.proxy.render.nftables.elements import (
    ElementsOf,
    destination,
    frontend_key,
    number_octets,
    port_octets,
    verdict,
)
from kdns.proxy.render.nftables.fixed import DROP, MARK, REJECT, Chains, not_pod_match, pod_match
from kdns.proxy.render.nftables.text import address, comment, duration, endpoint_identity, identity, network, word

PREFIXES: Final[dict[FrontendKind, str]] = {
    "cluster IP": "internal-",
    "external IP": "external-",
    "load balancer IP": "external-",
    "node port": "nodeport-",
}


class Spread(NamedTuple):
    """A shared chain; ``str()`` is its name: ``spread/3/tcp/local/masquerade/nodeport``."""

    endpoints: int
    protocol: Protocol
    local: bool
    masquerade: Masquerade
    node_port: bool

    def __str__(self) -> str:
        masquerade = {"never": "", "not pod": "/not-pod", "always": "/masquerade"}[self.masquerade]
        head = f"spread/{self.endpoints}/{self.protocol.lower()}"
        return f"{head}{'/local' * self.local}{masquerade}{'/nodeport' * self.node_port}"

    def rules(self, node: NodeRules) -> tuple[str, ...]:
        """Masquerade or not, then one of so many endpoints.

        A packet may have begun this chain before a transaction that took the last endpoint away, and ask for it
        after: it then gets the first one, which is always there.
        """
        ip, port = word(node.family), f"{self.protocol.lower()} dport"
        frontend = port if self.node_port else f"{ip} daddr . {port}"
        backends = fixed.backends_map(self.protocol, local=self.local, node_port=self.node_port)
        dnat = f"dnat {ip} to {frontend} . numgen random mod %d map @{backends}"
        choices = [dnat % count for count in dict.fromkeys((self.endpoints, 1))]
        return (*_masquerade(self.masquerade, "", node), *choices)


class ServicePortObjects(Struct):
    """What one service port needs in the table."""

    elements: ElementsOf = field(default_factory=dict)
    """Without those of the sets that Services share."""
    spreads: set[Spread] = field(default_factory=set)
    cluster_addresses: set[bytes] = field(default_factory=set)
    """Counted: other ports of the Service need them, too."""
    endpoints: set[bytes] = field(default_factory=set)
    """Likewise, for hairpin."""
    chains: Chains = field(default_factory=dict)
    """Its own."""
    affinity_sets: set[str] = field(default_factory=set)


def render(port: ServicePortRules, node: NodeRules) -> ServicePortObjects:
    """The same value always gives the same elements and chains, in the same order."""
    return _Speller(port, node).render()


class _Speller:
    def __init__(self, port: ServicePortRules, node: NodeRules) -> None:
        self._port, self._node = port, node
        self._spelled = ServicePortObjects()

    def render(self) -> ServicePortObjects:
        used: set[Backend] = set()
        for entry in self._port.entries:
            for path in entry.paths:
                used.update(self._backends(path))
            self._entry(entry)
        self._spelled.endpoints.update(backend.address for backend in used)
        return self._spelled

    def _backends(self, path: Path) -> tuple[Backend, ...]:
        """Where a path leads; nowhere if it refuses."""
        return {"cluster": self._port.cluster, "local": self._port.local}.get(path.verdict, ())

    def _entry(self, entry: Entry) -> None:
        way, packed, port = entry.frontend
        key = frontend_key(packed, self._port.name.protocol, port)
        note = comment(f"{self._port.name} {way}")
        node_port = not packed
        if way == "cluster IP":
            self._spelled.cluster_addresses.add(packed)
        if entry.sources is not None:
            ip = word(self._node.family)
            rules = [f"{ip} saddr {network(source)} return" for source in entry.sources]
            chain = self._chain("firewall-", (*rules, DROP))
            self._lead(fixed.FIREWALL_IPS, key, f"goto {chain}", note)
        paths = tuple(self._reachable(entry.paths))
        if any(self._backends(path) for path in paths):
            chain = self._target(way, paths, node_port)
            services = fixed.SERVICE_NODE_PORTS if node_port else fixed.SERVICE_IPS
            self._lead(services, key, f"goto {chain}", note)
            if not self._port.affinity:
                self._numbered(entry.frontend, paths)
        if refusal := self._refusal(paths):
            refusing = fixed.NO_ENDPOINT_NODE_PORTS if node_port else fixed.NO_ENDPOINT_SERVICES
            self._lead(refusing, key, refusal, note)

    def _lead(self, container: str, key: bytes, to: str, note: str) -> None:
        self._spelled.elements.setdefault(container, {})[key] = compose_leading(key, verdict(to), note)

    def _reachable(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Those that some packet can take."""
        for path in paths:
            if path.source == "pod" and pod_match(self._node) is None:
                continue
            yield path
            if path.source == "any":
                return

    def _numbered(self, frontend: Frontend, paths: Iterable[Path]) -> None:
        node_port = not frontend.address
        head = frontend.address + port_octets(frontend.port)
        for path in paths:
            local = path.verdict == "local"
            name = fixed.backends_map(self._port.name.protocol, local=local, node_port=node_port)
            into = self._spelled.elements.setdefault(name, {})
            for number, backend in enumerate(self._backends(path)):
                key = head + number_octets(number)
                into[key] = compose_mapped(key, destination(backend))

    def _target(self, way: FrontendKind, paths: tuple[Path, ...], node_port: bool) -> str:
        """The chain a frontend leads to."""
        if len(paths) == 1 and not self._port.affinity:
            return self._spread(paths[0], node_port, paths[0].masquerade)
        rules: list[str] = []
        for path in paths:
            match = _source_match(path, self._node)
            if not (backends := self._backends(path)):
                rules += [f"{match}return"] if match else []  # at the end of the chain that is so anyway
                continue
            if not (path.source == "pod" and path.masquerade == "not pod"):
                rules += _masquerade(path.masquerade, match, self._node)
            target = self._sticky(path, backends) if self._port.affinity else self._spread(path, node_port, "never")
            rules.append(f"{match}goto {target}")
        return self._chain(PREFIXES[way], tuple(rules))

    def _spread(self, path: Path, node_port: bool, masquerade: Masquerade) -> str:
        if masquerade == "not pod" and not_pod_match(self._node) is None:
            masquerade = "never"
        spread = Spread(
            len(self._backends(path)), self._port.name.protocol, path.verdict == "local", masquerade, node_port
        )
        self._spelled.spreads.add(spread)
        return str(spread)

    def _sticky(self, path: Path, backends: tuple[Backend, ...]) -> str:
        """The chain that sends a client where it went before, else anywhere: each one left has the same chance."""
        ip, protocol = word(self._node.family), self._port.name.protocol.lower()
        known, fresh = [], []
        for number, backend in enumerate(backends):
            name = endpoint_identity(self._port.name, backend)
            to = f"{address(backend.address)}:{backend.port}" if ip == "ip" else str(backend)
            self._spelled.affinity_sets.add(f"affinity-{name}")
            self._spelled.chains[f"endpoint-{name}"] = (
                f"update @affinity-{name} {{ {ip} saddr timeout {duration(self._port.affinity)} }}",
                f"meta l4proto {protocol} dnat to {to}",
            )
            known.append(f"{ip} saddr @affinity-{name} goto endpoint-{name}")
            left = len(backends) - number
            fresh.append(f"{f'numgen random mod {left} 0 ' if left > 1 else ''}goto endpoint-{name}")
        return self._chain("local-" if path.verdict == "local" else "service-", (*known, *fresh))

    def _refusal(self, paths: Iterable[Path]) -> str:
        """What is to happen to packets that no path has sent anywhere; nothing where there are none."""
        refusals = {"reject": REJECT, "drop": DROP}
        rules = [
            (_source_match(path, self._node), refusals.get(path.verdict, DROP))
            for path in paths
            if not self._backends(path)
        ]
        if len({refusal for _, refusal in rules}) < 2:
            return rules[0][1] if rules else ""
        return f"goto {self._chain('refused-', tuple(match + refusal for match, refusal in rules))}"

    def _chain(self, prefix: str, rules: tuple[str, ...]) -> str:
        """The name of the service port's own chain with these rules; frontends that differ get one each."""
        own = identity(self._port.name)
        name, another = f"{prefix}{own}", 1
        while self._spelled.chains.setdefault(name, rules) != rules:
            another += 1
            name = f"{prefix}{another}-{own}"
        return name


def _source_match(path: Path, node: NodeRules) -> str:
    match path.source:
        case "any":
            return ""
        case "pod":
            return f"{pod_match(node)} "
        case "host":
            return "fib saddr type local "


def _masquerade(masquerade: Masquerade, match: str, node: NodeRules) -> tuple[str, ...]:
    match masquerade:
        case "always":
            return (f"{match}{MARK}",)
        case "not pod" if stranger := not_pod_match(node):
            return (f"{match}{stranger} {MARK}",)
        case _:
            return ()
