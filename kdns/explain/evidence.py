"""Everything that is known: objects, Corefile, the proxy's configuration, files of nodes and Pods, probes. Pure."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from kdns.explain.objects import Objects


class TextFile(Struct, frozen=True):
    """A file of the evidence."""

    path: str
    """Relative to the evidence, such as ``node/worker-1/iptables-save.txt``; what it is called in reports."""
    text: str
    problem: str = ""
    """Why it cannot be used: truncated, an error message, not text. Empty: it can."""


class Probe(Struct, frozen=True):
    """A real question or connection, made from where the command runs."""

    kind: Literal["dns-udp", "dns-tcp", "tcp"]
    address: str
    port: int
    outcome: str
    """``ok``, ``refused``, ``timeout``, or an rcode such as ``NXDOMAIN``."""
    seconds: float = 0.0
    about: str = ""
    """What was asked, such as the name; the Pod behind the address."""


class Evidence(Struct):
    """What the links look at; whatever is missing stays empty, and the link says what it needs."""

    objects: Objects = field(default_factory=Objects)
    corefile: TextFile | None = None
    """``--corefile``, or a ConfigMap of the objects (its path then is ``ConfigMap/kube-system/coredns``)."""
    proxy_config: TextFile | None = None
    """``--proxy-config``, or the ConfigMap kube-system/kube-proxy."""
    nodes: dict[str, dict[str, TextFile]] = field(default_factory=dict)
    """Node -> name of the file (``nft.txt``) -> the file."""
    pods: dict[tuple[str, str], dict[str, TextFile]] = field(default_factory=dict)
    """(Namespace, Pod) -> name of the file (``resolv.conf``) -> the file."""
    dns: dict[str, dict[str, TextFile]] = field(default_factory=dict)
    """Pod of a DNS server -> name of the file (``log.txt``, ``metrics.txt``) -> the file."""
    collected: str = ""
    """When it was (RFC 3339); empty: not known."""
    probes: tuple[Probe, ...] = ()
    forbidden: tuple[str, ...] = ()
    """Kinds that we were not allowed to list."""
    listed: frozenset[str] = frozenset()
    """Kinds that were listed as a whole: that there is none of them is known."""
    bundled: bool = False
    """There are objects of a bundle, which are a cluster's whatever they lack: what has no slice there has none."""
    torn: tuple[str, ...] = ()
    """Documents of objects that cannot be read: what is missing may be in them, so an absence proves nothing."""
    unused: tuple[str, ...] = ()
    """Objects that can be read, and that neither DNS nor the proxy can use: a line each, with the reason."""
    versions: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Object -> two places that have it in different versions; the first one counts."""
    problems: tuple[str, ...] = ()
    """What could not be read, a line each."""

    def node_file(self, node: str, name: str) -> TextFile | None:
        """A usable file of a node, or None."""
        return _usable(self.nodes.get(node, {}), name)


def _usable(files: Mapping[str, TextFile], name: str) -> TextFile | None:
    file = files.get(name)
    return file if file is not None and not file.problem else None
