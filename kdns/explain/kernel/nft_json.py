"""What ``nft -j list ruleset`` prints -> tables. Pure.

A rule becomes the line that nft prints without ``-j``, so that the language is understood in one place. See
libnftables-json(5).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from kdns.explain.kernel.model import Chain, Element, KernelSet, Line, Position, Table, Tables
from kdns.explain.kernel.nft_rule import parse_elements, parse_rule, tokens
from kdns.explain.kernel.nft_text import FAMILIES, HOOKS

OPERATORS: Final = frozenset({"&", "|", "^", "<<", ">>"})


def parse_json(text: str, file: str) -> Tables:
    """Tables of the families ip, ip6 and inet. Other text is a problem, not an exception."""
    try:
        items = json.loads(text)["nftables"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return Tables((), f"it is not what `nft -j list ruleset` prints: {error}")
    tables: dict[tuple[str, str], Table] = {}
    chains: dict[tuple[str, str], dict[str, Chain]] = {}
    for item in items if isinstance(items, list) else ():
        kind, body = next(iter(item.items())) if isinstance(item, dict) and item else ("", {})
        if not isinstance(body, dict) or body.get("family") not in FAMILIES:
            continue
        try:
            _take(kind, body, tables, chains, file)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            return Tables(tuple(tables.values()), f"a {kind} that cannot be read: {error}")
    return Tables(tuple(tables.values()))


def _take(
    kind: str,
    body: Mapping[str, Any],
    tables: dict[tuple[str, str], Table],
    chains: dict[tuple[str, str], dict[str, Chain]],
    file: str,
) -> None:
    if kind == "table":
        key = body["family"], body["name"]
        chains[key] = {}
        tables[key] = Table(body["family"], body["name"], "nft", file, chains[key], {}, 1)
        return
    key = body["family"], body["table"]
    table = tables[key]
    match kind:
        case "chain":
            name = body["name"]
            chain = chains[key][name] = Chain(name, table, Position(file, 1, f"chain {name}"), parse_rule)
            if body.get("hook") in HOOKS:
                chain.hook, chain.type = body["hook"], body.get("type", "filter")
                chain.priority, chain.policy = int(body.get("prio", 0)), body.get("policy", "accept")
        case "rule":
            line = " ".join(filter(None, map(statement_text, body.get("expr", ()))))
            chain = table.chains[body["chain"]]
            chain.lines = [*chain.lines, Line(1, line)]
        case "set" | "map":
            name = body["name"]
            read = partial(_elements, body.get("elem") or (), "map" in body)
            dynamic = name.startswith("affinity-") or "dynamic" in (body.get("flags") or ())
            table.sets[name] = KernelSet(name, Position(file, 1, f"{kind} {name}"), read, dynamic=dynamic)


def _elements(values: Sequence[Any], mapped: bool) -> list[Element]:
    return parse_elements(tokens(set_text(values)), 1, mapped=mapped)


def set_text(values: Sequence[Any]) -> str:
    """``{ a, b : c }``."""
    texts = []
    for value in values:
        if isinstance(value, list):
            texts.append(f"{expression_text(value[0])} : {value_text(value[1])}")
        else:
            texts.append(expression_text(value))
    return "{ " + ", ".join(texts) + " }"


def value_text(value: Any) -> str:
    """The value of a map: a verdict, or an expression."""
    if isinstance(value, dict) and next(iter(value), "") in ("accept", "drop", "return", "continue", "jump", "goto"):
        return statement_text(value)
    return expression_text(value)


def statement_text(statement: Any) -> str:
    """One statement; what is not known is spelled so that it is not understood."""
    word, body = next(iter(statement.items()))
    match word:
        case "match":
            operator = "" if body["op"] in ("==", "in") else f"{body['op']} "
            return f"{expression_text(body['left'])} {operator}{expression_text(body['right'])}"
        case "accept" | "drop" | "return" | "continue" | "notrack":
            return cast(str, word)
        case "reject":
            return "reject"
        case "jump" | "goto":
            return f"{word} {body['target']}"
        case "vmap":
            return f"{expression_text(body['key'])} vmap {expression_text(body['data'])}"
        case "mangle":
            return f"{expression_text(body['key'])} set {expression_text(body['value'])}"
        case "counter" | "log" | "comment":
            return ""
        case "masquerade" | "redirect" | "dnat" | "snat":
            return _nat_text(word, body or {})
        case "set" | "map" if isinstance(body, dict) and body.get("op") in ("add", "update", "delete"):
            return f"{body['op']} {body['set']} {{ {expression_text(body['elem'])} }}"
    return f"unknown-{word} {json.dumps(body)[:200].replace('{', '(').replace('}', ')').replace(',', ' ')}"


def _nat_text(word: str, body: Mapping[str, Any]) -> str:
    port = body.get("port")
    if word == "redirect":
        return f"redirect to :{port}" if port else "redirect"
    if word in ("masquerade", "snat"):
        return word
    address = body.get("addr")
    text = expression_text(address) if address is not None else ""
    if isinstance(address, str) and port is not None:
        text = f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
    family = f"{body['family']} " if "family" in body else ""
    return f"dnat {family}to {text}"


def expression_text(value: Any) -> str:
    """An expression as nft prints it."""
    if isinstance(value, bool):
        return "exists" if value else "missing"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        quoted = any(character in value for character in ' {},"') or value.endswith("*")
        return f'"{value}"' if quoted else value
    if isinstance(value, list):
        return ",".join(map(expression_text, value))
    word, body = next(iter(value.items()))
    if word in OPERATORS:
        return f" {word} ".join(map(expression_text, body))
    write = EXPRESSIONS.get(word)
    return write(body) if write else f"unknown-{word}"


def _meta(body: Mapping[str, Any]) -> str:
    key = cast(str, body["key"])
    return key if key in ("iifname", "oifname", "iif", "oif") else f"meta {key}"


def _fib(body: Mapping[str, Any]) -> str:
    flags = body["flags"]
    return f"fib {' . '.join([flags] if isinstance(flags, str) else flags)} {body['result']}"


def _numgen(body: Mapping[str, Any]) -> str:
    offset = f" offset {body['offset']}" if body.get("offset") else ""
    return f"numgen {body['mode']} mod {body['mod']}{offset}"


EXPRESSIONS: Final[Mapping[str, Callable[[Any], str]]] = {
    "concat": lambda body: " . ".join(map(expression_text, body)),
    "payload": lambda body: f"{body['protocol']} {body['field']}" if "protocol" in body else "unknown-payload",
    "meta": _meta,
    "ct": lambda body: f"ct {body['key']}",
    "fib": _fib,
    "numgen": _numgen,
    "prefix": lambda body: f"{expression_text(body['addr'])}/{body['len']}",
    "range": lambda body: f"{expression_text(body[0])}-{expression_text(body[1])}",
    "set": lambda body: set_text(body if isinstance(body, list) else [body]),
    "elem": lambda body: expression_text(body["val"]),
    "map": lambda body: f"{expression_text(body['key'])} map {expression_text(body['data'])}",
}
