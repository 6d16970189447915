"""A rule set as one script that ``nft -f`` takes: for reading, and for comparing."""

from itertools import chain, groupby

from kdns.proxy.model import RuleSet
from kdns.proxy.render.nftables.command import Verb
from kdns.proxy.render.nftables.fixed import TABLE
from kdns.proxy.render.nftables.lines import script_text
from kdns.proxy.render.nftables.table import Found, Table
from kdns.proxy.render.nftables.text import comment, word


def script(rules: RuleSet) -> str:
    """The whole table, as a node that has none would be given it, with the name of each service port above its part."""
    commands = chain.from_iterable(Table(rules.node).rebuild(rules, Found({})))
    table = f"{word(rules.node.family)} {TABLE}"
    parts = []
    for port, some in groupby(commands, key=lambda command: command.port):
        head = f"# {comment(f'{port} {port.protocol}')}\n" if port else ""
        parts.append(head + script_text((command for command in some if command.verb is not Verb.FLUSH), table))
    return "\n".join(parts)
