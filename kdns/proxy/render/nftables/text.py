"""How nftables mode spells names, addresses and comments: what comes from API objects cannot become nft syntax."""

import re
from base64 import b32encode
from functools import lru_cache
from hashlib import sha256
from typing import Final

from kdns.base.objects import Network, address_text
from kdns.proxy.model import Backend, Family, ServicePortName

LONGEST: Final = 240
"""Characters of an identity after its prefix, as kube-proxy has it; the kernel takes 255 in all."""
LONGEST_COMMENT: Final = 120
"""The kernel keeps 127 octets."""
_ORDINARY: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/")
_COMMENT: Final = re.compile(r"[a-zA-Z0-9.\-_/: ]*")
_NOT_IN_COMMENTS: Final = re.compile(r"[^a-zA-Z0-9.\-_/: ]")


def identity(name: ServicePortName) -> str:
    """What names of chains for a service port end with: ``ULMVA6XW-ns1/svc1/tcp/p80``."""
    return _hashed(f"{name.namespace}/{name.name}/{name.protocol.lower()}/{name.port}")


def endpoint_identity(name: ServicePortName, backend: Backend) -> str:
    """The same for one of its endpoints: ``5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80``."""
    address = address_text(backend.address).replace(":", ".")
    return _hashed(f"{name.namespace}/{name.name}/{name.protocol.lower()}/{name.port}__{address}/{backend.port}")


def _hashed(text: str) -> str:
    """The hash is of the whole text, so what is cut or replaced for the eye keeps names apart."""
    spelled = "".join(character if character in _ORDINARY else "_" for character in text)
    whole = f"{b32encode(sha256(text.encode()).digest()).decode()[:8]}-{spelled}"
    return whole if len(whole) <= LONGEST else whole[: LONGEST - 3] + "..."


def comment(text: str) -> str:
    """A comment. nft has no escapes, so everything but letters, digits and ``.-_/:`` becomes an underscore."""
    spelled = text if _COMMENT.fullmatch(text) else _NOT_IN_COMMENTS.sub("_", text)
    return spelled if len(spelled) <= LONGEST_COMMENT else spelled[: LONGEST_COMMENT - 3] + "..."


@lru_cache(4096)  # an endpoint is in several maps
def address(packed: bytes) -> str:
    """An address as nft lists it, which is not quite RFC 5952 where an IPv6 address holds an IPv4 one."""
    if len(packed) == 4:
        return address_text(packed)
    if packed[:12] == bytes(10) + b"\xff\xff":
        return f"::ffff:{address_text(packed[12:])}"
    if packed[:12] == bytes(12) and packed[12:14] != b"\0\0":
        return f"::{address_text(packed[12:])}"
    return address_text(packed)


def network(of: Network) -> str:
    """A range as nft lists it: a single address has no length."""
    text = address(of.address)
    return text if of.length == 8 * len(of.address) else f"{text}/{of.length}"


def duration(seconds: int) -> str:
    """Seconds as nft lists them: ``1h``, ``1h30m``, ``1d``."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    parts = ((day, "d"), (hour, "h"), (minute, "m"), (second, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def word(family: Family) -> str:
    """The family as nft calls it, for tables and matches alike."""
    return "ip" if family is Family.IPV4 else "ip6"
