"""What people type becomes a question: TARGET in every form they have at hand, and who asks. Pure.

``cart``, ``cart.shop``, a whole name, ``cart.shop:8080``, ``http://cart.shop:8080/x``, ``10.96.0.10:53``,
``[fd00:96::a]:53``, ``svc/cart``.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, Literal

from kdns.base.errors import ConfigError
from kdns.explain.model import Client, Question, Target

SCHEMES: Final[Mapping[str, int]] = {"http": 80, "https": 443, "ws": 80, "wss": 443, "grpc": 443, "tcp": 0, "udp": 0}
"""Schemes that people paste, with their ports; 0: it has none."""
PROTOCOLS: Final = ("TCP", "UDP", "SCTP", "ICMP")
NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_*]([A-Za-z0-9_.*-]*[A-Za-z0-9_*])?\.?")
SERVICE_KINDS: Final = frozenset({"svc", "service", "services"})


def parse_question(
    text: str, *, namespace: str = "", from_pod: str = "", from_node: str = "", outside: str | None = None,
    port: str = "", protocol: str = "", rtype: str = "",
) -> Question:  # fmt: skip
    """The question that flags and TARGET ask. ``outside`` is None, empty, or an address. Raises ConfigError."""
    if sum((bool(from_pod), bool(from_node), outside is not None)) > 1:
        raise ConfigError("more than one client", hint="give --from once: NS/POD, a node by --from-node, or outside")
    target = parse_target(text, namespace=namespace, port=port, protocol=protocol, rtype=rtype)
    client = _client(from_pod, from_node, outside, namespace, target)
    given = bool(namespace) or client.kind == "pod"
    return Question(target, client, client.namespace or namespace or "default", given)


def parse_target(text: str, *, namespace: str = "", port: str = "", protocol: str = "", rtype: str = "") -> Target:
    """TARGET and what the flags add to it. Raises ConfigError for what is neither a name nor an address."""
    rest, given = text.strip(), parse_port(port) if port else None
    wanted = protocol.upper()
    if wanted and wanted not in PROTOCOLS:
        raise ConfigError(f"--protocol: unknown protocol {protocol!r}", hint="tcp, udp, sctp or icmp")
    if match := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", rest):
        scheme = match[1].lower()
        if scheme not in SCHEMES:
            raise ConfigError(f"{text!r}: unknown scheme {scheme!r}", hint="such as http://cart.shop:8080/")
        rest = re.split(r"[/?#]", rest[match.end() :], maxsplit=1)[0].rpartition("@")[2]
        wanted = wanted or ("UDP" if scheme == "udp" else "TCP")
        if given is None and ":" not in rest.rpartition("]")[2] and SCHEMES[scheme]:
            given = SCHEMES[scheme]
    host, own_port = _split(rest, text)
    given = given if given is not None else own_port
    common = {
        "text": text, "port": given, "protocol": wanted or "TCP", "rtype": rtype.upper(),
        "protocol_given": bool(wanted),
    }  # fmt: skip
    kind, slash, name = host.partition("/")
    if slash and kind.lower() in SERVICE_KINDS:
        host = f"{name}.{namespace}" if namespace else name
    if host.rstrip(".").lower() in {"localhost", "ip6-localhost"}:  # /etc/hosts has it everywhere (RFC 6761, 6.3)
        host = "::1" if host.startswith("ip6") else "127.0.0.1"
    try:
        return Target(address=str(ip_address(host)), **common)  # type: ignore[arg-type]
    except ValueError:
        pass
    if not NAME.fullmatch(host) or ".." in host or len(host) > 254:
        raise ConfigError(f"{text!r} is neither a name nor an address", hint="such as cart.shop:8080 or 10.96.0.10:53")
    return Target(name=host, **common)  # type: ignore[arg-type]


def parse_port(text: str) -> int | str:
    """A number from 1 to 65535, or the name of a port. Raises ConfigError."""
    if text.isascii() and text.isdigit():
        if 0 < int(text) <= 65535:
            return int(text)
        raise ConfigError(f"invalid port {text}", hint="a number from 1 to 65535, or the name of a Service's port")
    if re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", text):
        return text
    raise ConfigError(f"invalid port {text!r}", hint="a number from 1 to 65535, or the name of a Service's port")


def _split(rest: str, text: str) -> tuple[str, int | str | None]:
    """Host and port; an IPv6 address with a port has brackets."""
    if rest.startswith("["):
        host, bracket, behind = rest[1:].partition("]")
        if not bracket or (behind and not behind.startswith(":")):
            raise ConfigError(f"{text!r}: a bracket is not closed", hint="such as [fd00:96::a]:53")
        return host, parse_port(behind[1:]) if behind else None
    if rest.count(":") > 1:
        return rest, None
    host, colon, port = rest.partition(":")
    return host, parse_port(port) if colon else None


def _client(from_pod: str, from_node: str, outside: str | None, namespace: str, target: Target) -> Client:
    if outside is not None:
        if outside:
            try:
                return Client("outside", address=str(ip_address(outside)))
            except ValueError:
                raise ConfigError(f"--from outside={outside}: invalid address", hint="such as 192.0.2.7") from None
        return Client("outside")
    if from_node:
        return Client("node", name=from_node, node=from_node)
    if from_pod:
        where, slash, name = from_pod.rpartition("/")
        return Client("pod", namespace=where if slash else namespace or "default", name=name)
    return Client(_ANY, namespace=namespace or _namespace_of(target))


_ANY: Final[Literal["any"]] = "any"


def _namespace_of(target: Target) -> str:
    """The Namespace that a name with at least two labels is in, if it is a Service's; else default."""
    labels = target.name.rstrip(".").split(".")
    return labels[1] if len(labels) > 1 and (len(labels) == 2 or labels[2] == "svc") else "default"
