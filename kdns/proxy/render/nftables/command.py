"""Commands about the table: a verb and an object. Text and messages are made of them last. Pure."""

from enum import Enum
from typing import Literal, NamedTuple

from kdns.proxy.model import ServicePortName


class Verb(Enum):
    """What is done; the value is nft's word."""

    ADD = "add"
    """Again, it changes nothing."""
    DELETE = "delete"
    FLUSH = "flush"


class WholeTable(NamedTuple):
    """The table itself, with all that is in it."""

    comment: str = ""


class Chain(NamedTuple):
    """A chain."""

    name: str
    hook: str = ""
    """Of a base chain: ``type nat hook output priority -100``."""


class Rule(NamedTuple):
    """A rule at the end of a chain."""

    chain: str
    text: str


class Container(NamedTuple):
    """A set or a map."""

    kind: Literal["set", "map"]
    name: str
    spec: str = ""
    """``type ipv4_addr``"""


class Elements(NamedTuple):
    """Elements of a set or a map, as octets (`kdns.kernel.nft_elements`); of those to be deleted only the keys."""

    container: str
    octets: tuple[bytes, ...]


Object = WholeTable | Chain | Rule | Container | Elements


class Command(NamedTuple):
    """One command."""

    verb: Verb
    object: Object
    weight: int = 1
    """Rules and elements in it."""
    port: ServicePortName | None = None
    """The service port that it is for."""
