"""A rule set as one script that ``nft -f`` takes: for reading, and for comparing."""

from itertools import groupby

from kdns.proxy.model import RuleSet
from kdns.proxy.render.nftables.table import Found, Table
from kdns.proxy.render.nftables.text import comment


def script(rules: RuleSet) -> str:
    """The whole table, as a node that has none would be given it, with the name of each service port above its part."""
    commands = Table(rules.node).rebuild(rules, Found({}))
    parts = []
    for port, some in groupby(commands, key=lambda command: command.port):
        head = f"# {comment(f'{port} {port.protocol}')[1:-1]}\n" if port else ""
        parts.append(head + "".join(command.text + "\n" for command in some if not command.text.startswith("flush")))
    return "\n".join(parts)
