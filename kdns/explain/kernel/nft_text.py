"""What ``nft list ruleset`` prints -> tables. Pure.

Blocks are distinguished here; a rule is parsed by `kdns.explain.kernel.nft_rule` when a packet comes to it, and the
elements of a set when a rule asks for them. Tables that belong to iptables-nft are marked: nft shows them without the
matches that only iptables knows, so that they must be read from iptables-save.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, Literal, cast

from kdns.explain.kernel.model import (
    PRIORITIES,
    Chain,
    ChainType,
    Element,
    Hook,
    KernelSet,
    Line,
    Position,
    Table,
    Tables,
)
from kdns.explain.kernel.nft_rule import parse_elements, parse_rule, tokens

TABLE: Final = re.compile(r"table (?:(\w+) )?(\S+) \{")
BLOCK: Final = re.compile(r"(chain|set|map|meter|flowtable|counter|quota|limit|secmark|synproxy|ct \w+) (\S+) \{.*")
BASE: Final = re.compile(r"type (\w+) hook (\w+)(?: device \S+)? priority ([^;]+);(?:\s*policy (\w+);)?")
HANDLE: Final = re.compile(r"\s*# handle \d+\s*$")
FAMILIES: Final = ("ip", "ip6", "inet")
HOOKS: Final = ("prerouting", "input", "forward", "output", "postrouting")
NAMES_OF_IPTABLES: Final = {"filter", "nat", "mangle", "raw", "security"}
CHAINS_OF_IPTABLES: Final = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}


def parse_ruleset(text: str, file: str) -> Tables:
    """Tables of the families ip, ip6 and inet. A file that is cut short is a problem, no exception."""
    tables: list[Table] = []
    lines = _joined(text)
    for number, line in lines:
        match = TABLE.match(line)
        if match is None:
            return Tables(tuple(tables), f"line {number} does not begin a table: {line[:80]!r}")
        family = match[1] or "ip"
        chains: dict[str, Chain] = {}
        table = Table(cast(Literal["ip", "ip6", "inet"], family), match[2], "nft", file, chains, {}, number)
        problem = _table(table, chains, lines)
        if family in FAMILIES:
            tables.append(table)
        if problem:
            return Tables(tuple(tables), problem)
    return Tables(tuple(tables))


def of_iptables(table: Table) -> bool:
    """It is one of iptables-nft: the names of table and base chains say so."""
    if table.name not in NAMES_OF_IPTABLES or table.family == "inet" or table.sets:
        return False
    bases = {chain.name for chain in table.bases()}
    upper = {name for name in table.chains if name.startswith("KUBE-")}
    return bases <= CHAINS_OF_IPTABLES and bool(bases or upper)


def _table(table: Table, chains: dict[str, Chain], lines: Iterator[tuple[int, str]]) -> str:
    """Blocks up to the closing brace; what is wrong, if that does not come."""
    for number, line in lines:
        if line == "}":
            return ""
        match = BLOCK.match(line)
        if match is None:
            if line.endswith("{"):
                return f"line {number} is not understood: {line[:80]!r}"
            continue  # comment, flags
        body: list[tuple[int, str]] = []
        if not line.endswith("}") and not _block(lines, body):
            return CUT_SHORT
        match match[1]:
            case "chain":
                chains[match[2]] = _chain(table, match[2], Position(table.file, number, line), body)
            case "set" | "map" | "meter":
                table.sets[match[2]] = _set(
                    table, match[2], Position(table.file, number, line), body, match[1] == "map"
                )
    return CUT_SHORT


CUT_SHORT: Final = "the file is cut short: a closing brace is missing"


def _block(lines: Iterator[tuple[int, str]], body: list[tuple[int, str]]) -> bool:
    """Lines of a block, without its closing brace; False if that does not come."""
    for number, line in lines:
        if line == "}":
            return True
        body.append((number, line))
    return False


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines without indentation and handles; what is spread over several lines within braces becomes one."""
    held, first, depth = "", 0, 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip("\t\r\n")
        if not held and (not line.strip() or line.lstrip().startswith("#")):
            continue
        if "# handle " in line:
            line = HANDLE.sub("", line)
        if " # " in line and "xt_" not in line and line.rstrip().rpartition(" # ")[0].endswith("{"):
            line = line.rpartition(" # ")[0]  # table inet firewalld { # progname firewalld
        if not held:
            first = number
            held = line.rstrip()
        else:
            held += " " + line.strip()
        depth = _depth(held) if "{" in held else 0
        opening = held.endswith("{") and (TABLE.match(held) or BLOCK.match(held.strip()))
        if depth > 0 and not opening:
            continue
        yield first, held if held.startswith(" ") else held.strip()
        held = ""
    if held:
        yield first, held


def _depth(line: str) -> int:
    """Braces that are open, but for those in quotes."""
    if '"' in line:
        line = re.sub(r'"[^"]*"', "", line)
    return line.count("{") - line.count("}")


def _chain(table: Table, name: str, position: Position, body: Sequence[tuple[int, str]]) -> Chain:
    lines: list[Line] = []
    chain = Chain(name, table, position, parse_rule, lines=lines)
    for number, line in body:
        base = BASE.match(line)
        if base and chain.hook is None:
            if base[2] in HOOKS:
                chain.hook = cast(Hook, base[2])
            chain.type = cast(ChainType, base[1])
            chain.priority = priority(base[3])
            chain.policy = base[4] or "accept"
        elif not line.startswith("comment "):
            lines.append(Line(number, line))
    return chain


def priority(text: str) -> int:
    """``-110``, ``dstnat``, ``dstnat - 10``; 0 for what is not understood."""
    words = text.split()
    if len(words) == 1:
        return PRIORITIES[words[0]] if words[0] in PRIORITIES else _number(words[0])
    if len(words) == 3 and words[0] in PRIORITIES:
        return PRIORITIES[words[0]] + _number(words[2]) * (-1 if words[1] == "-" else 1)
    return 0


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"-?\d+", text) else 0


def _set(table: Table, name: str, position: Position, body: Sequence[tuple[int, str]], mapped: bool) -> KernelSet:
    texts = [(number, line) for number, line in body if line.startswith("elements = ")]
    dynamic = any(line.startswith("flags") and "dynamic" in line for _, line in body) or name.startswith("affinity-")
    return KernelSet(name, position, partial(_elements, texts, mapped), dynamic=dynamic)


def _elements(texts: Sequence[tuple[int, str]], mapped: bool) -> list[Element]:
    elements: list[Element] = []
    for number, text in texts:
        elements += parse_elements(tokens(text.removeprefix("elements = ")), number, mapped=mapped)
    return elements
