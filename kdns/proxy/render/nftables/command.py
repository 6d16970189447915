"""Commands for nft: a verb and an object. Text is made of them last, for the table that they are about. Pure."""

from collections.abc import Iterable
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
    """Elements of a set or a map, as nft lists them."""

    container: str
    texts: tuple[str, ...]


Object = WholeTable | Chain | Rule | Container | Elements


class Command(NamedTuple):
    """One command."""

    verb: Verb
    object: Object
    weight: int = 1
    """Rules and elements in it."""
    port: ServicePortName | None = None
    """The service port that it is for."""


def command_text(command: Command, table: str) -> str:
    """The command on one line, about a table such as ``ip kube-proxy``."""
    verb = command.verb.value
    match command.object:
        case WholeTable(comment):
            return f"{verb} table {table}" + (f' {{ comment "{comment}" ; }}' if comment else "")
        case Chain(name, hook):
            return f"{verb} chain {table} {name}" + (f" {{ {hook} ; }}" if hook else "")
        case Rule(chain, text):
            return f"{verb} rule {table} {chain} {text}"
        case Container(kind, name, spec):
            return f"{verb} {kind} {table} {name}" + (f" {{ {spec} ; }}" if spec else "")
        case Elements(container, texts):
            return f"{verb} element {table} {container} {{ {', '.join(texts)} }}"


def script_text(commands: Iterable[Command], table: str) -> str:
    """What ``nft -f`` takes: a line for each command."""
    return "".join(f"{command_text(command, table)}\n" for command in commands)
