"""Addresses for objects that were written without one: always the same address for the same name. Pure."""

import hashlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Final

Network = IPv4Network | IPv6Network

SERVICES: Final = (IPv4Network("10.96.0.0/12"), IPv6Network("fd00:10:96::/112"))
"""Cluster IPs: kubeadm's default for --service-cidr, and the range of kind's documentation for IPv6."""
PODS: Final = (IPv4Network("10.244.0.0/16"), IPv6Network("fd00:10:244::/112"))
"""Addresses of Pods: the range that kubeadm's guide and kind use."""
WELL_KNOWN: Final[Mapping[str, int]] = {"default/kubernetes": 1, "kube-system/kube-dns": 10}
"""Services whose cluster IP is the first, and by kubeadm's convention the tenth, of the range."""
HASHED_TRIES: Final = 16


class Addresses:
    """The addresses of a range that are still free. An object's place in it is a hash of its name."""

    def __init__(
        self, networks: Iterable[Network], taken: Iterable[str], well_known: Mapping[str, int] | None = None
    ) -> None:
        """``networks``: at most one of each family. ``taken``: addresses that objects have already, as text.

        ``well_known``: offsets in the range that are kept for one name (``namespace/name``) each.
        """
        self._networks = {f"IPv{network.version}": network for network in networks}
        self._taken = set(taken)
        self._well_known = dict(well_known or {})
        self._kept = frozenset(self._well_known.values())

    def take(self, name: str, family: str) -> str:
        """A free address of ``IPv4`` or ``IPv6`` for ``namespace/name``. ValueError if none is free.

        The first free one of 16 that the name hashes to, then the next free one in order: so the address depends on
        other objects only where two names hash to the same.
        """
        network = self._networks[family]
        for offset in self._offsets(name, network.num_addresses):
            if (text := str(network[offset])) not in self._taken:
                self._taken.add(text)
                return text
        raise ValueError(f"no address of {network} is free")

    def _offsets(self, name: str, size: int) -> Iterable[int]:
        """Places in the range, the best first; neither its first address nor its last."""
        if name in self._well_known:
            yield self._well_known[name]
        offset = 0
        for attempt in range(HASHED_TRIES):
            digest = hashlib.sha256(f"{name}#{attempt}".encode()).digest()
            offset = 1 + int.from_bytes(digest[:8], "big") % (size - 2)
            if offset not in self._kept:
                yield offset
        for further in range(size - 2):
            if (place := 1 + (offset + further) % (size - 2)) not in self._kept:
                yield place
