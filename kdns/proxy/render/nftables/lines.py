"""Commands as lines that ``nft -f`` takes. Pure."""

from collections.abc import Iterable

from kdns.proxy.render.nftables.command import Chain, Command, Container, Elements, Rule, WholeTable
from kdns.proxy.render.nftables.elements import element_text


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
        case Elements(container, octets):
            texts = ", ".join(element_text(container, key) for key in octets)
            return f"{verb} element {table} {container} {{ {texts} }}"


def script_text(commands: Iterable[Command], table: str) -> str:
    """What ``nft -f`` takes: a line for each command."""
    return "".join(f"{command_text(command, table)}\n" for command in commands)
