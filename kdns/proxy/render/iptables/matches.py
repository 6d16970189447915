"""The words of iptables rules: comments, and what the local detector matches."""

import re
from typing import Final

from kdns.base.objects import Network, address_text
from kdns.proxy.model import LocalDetector

LONGEST_COMMENT: Final = 255
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.:/\[\]<>;*, -]")
_INTERFACE: Final = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")


def comment(text: str) -> str:
    """A comment match, quoted where it has to be. Whatever could end the quotes or the line becomes ``_``."""
    safe = _UNSAFE.sub("_", text)[:LONGEST_COMMENT]
    return f'-m comment --comment "{safe}"' if " " in safe or not safe else f"-m comment --comment {safe}"


def counted(counter: str) -> str:
    """A match on every packet, which a counter of the kernel counts (xt_nfacct)."""
    return f"-m nfacct --nfacct-name {counter}"


def source(network: Network, *, inverted: bool = False) -> str:
    """A match on the source; a single address is written without a length."""
    whole = network.length == len(network.address) * 8
    return f"{'! ' if inverted else ''}-s {address_text(network.address) if whole else network}"


def pod(detector: LocalDetector | None, *, inverted: bool = False) -> str | None:
    """What matches pods (or everyone else); None if no source is known to be a pod.

    Raises ValueError for an interface name that Linux would not take.
    """
    if detector is None:
        return None
    if detector.kind == "CIDR":
        return None if detector.network is None else source(detector.network, inverted=inverted)
    if not _INTERFACE.fullmatch(detector.interface):
        raise ValueError(f"not the name of an interface: {detector.interface!r}")
    suffix = "+" if detector.kind == "prefix" else ""
    return f"{'! ' if inverted else ''}-i {detector.interface}{suffix}"
