"""The options that shape names, and the zones they live in.

Kubernetes DNS-Based Service Discovery, schema version 1.1.0; zones as CIDR notation as in CoreDNS.
"""

from typing import Final, Literal

from msgspec import Struct

from kdns.wire.name import name_text, under
from kdns.wire.reverse import IN_ADDR, IP6, zone_names

SCHEMA_VERSION: Final = "1.1.0"
SCHEMA_TTL: Final = 28800
"""Seconds, of dns-version, whatever the other records have."""


class Schema(Struct, frozen=True, kw_only=True):
    """What decides how objects become names; made once from the options, see `build_schema`."""

    zones: tuple[bytes, ...]
    """Apexes of the forward zones, those of ServiceImports last; into the first, the primary one, reverse names point.
    """
    reverse_zones: tuple[bytes, ...]
    ttl: int = 5
    pods: Literal["disabled", "insecure", "verified"] = "disabled"
    endpoint_pod_names: bool = False
    namespaces: frozenset[str] = frozenset()
    """The only Namespaces exposed; empty means all."""
    namespaces_selected: bool = False
    """A label selector picks the Namespaces: only those the source lists exist. Otherwise a Service in one is proof."""
    ignore_empty_service: bool = False
    multicluster: frozenset[bytes] = frozenset()
    """Those of the zones whose Services are the ServiceImports."""
    zonal: bool = False
    """Headless Services have names for their endpoints in one topology zone."""
    by_client: bool = False
    """Note which Pod an address is of."""
    fallthrough: tuple[bytes, ...] = ()
    """In names at or under these, what does not exist goes on to the next plugin."""

    def exposed(self, namespace: str) -> bool:
        """True if the ``namespaces`` option does not hide it."""
        return not self.namespaces or namespace in self.namespaces


def build_schema(
    zones: tuple[str, ...],
    *,
    ttl: int = 5,
    pods: Literal["disabled", "insecure", "verified"] = "disabled",
    endpoint_pod_names: bool = False,
    namespaces: tuple[str, ...] = (),
    namespaces_selected: bool = False,
    ignore_empty_service: bool = False,
    multicluster: tuple[str, ...] = (),
    zonal: bool = False,
    by_client: bool = False,
    fallthrough: tuple[str, ...] | None = None,
) -> Schema:
    """A Schema from options in text.

    Raises ValueError for a bad zone or ttl, when no forward zone is left, or for a zone of ServiceImports that is not
    one of them.
    """
    apexes = [apex for text in zones for apex in zone_names(text)]
    reverse = tuple(apex for apex in apexes if is_reverse(apex))
    forward = tuple(apex for apex in apexes if not is_reverse(apex))
    if not forward:
        raise ValueError("at least one zone must be a forward zone, such as cluster.local")
    imports = frozenset(apex for text in multicluster for apex in zone_names(text))
    if strange := sorted(imports.difference(forward)):
        raise ValueError(f"multicluster {zone_text(strange[0])} is not one of the forward zones")
    forward = tuple(sorted(forward, key=lambda apex: apex in imports))
    if not 0 <= ttl <= 3600:
        raise ValueError(f"ttl must be between 0 and 3600 seconds, got {ttl}")
    return Schema(
        zones=tuple(dict.fromkeys(forward)),
        reverse_zones=tuple(dict.fromkeys(reverse)),
        ttl=ttl,
        pods=pods,
        endpoint_pod_names=endpoint_pod_names,
        namespaces=frozenset(namespaces),
        namespaces_selected=namespaces_selected,
        ignore_empty_service=ignore_empty_service,
        multicluster=imports,
        zonal=zonal,
        by_client=by_client,
        fallthrough=tuple(apex for text in fallthrough or () for apex in zone_names(text)),
    )


def is_reverse(apex: bytes) -> bool:
    """True for a zone of reverse names."""
    return under(apex, IN_ADDR) or under(apex, IP6)


def zone_text(apex: bytes) -> str:
    """A zone for people: ``cluster.local.``."""
    return name_text(apex)
