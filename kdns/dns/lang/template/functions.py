"""What a template's values are, how they are written, and the functions it may call. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias


class Fields(NamedTuple):
    """Something with fields, such as ``.Question``."""

    fields: Mapping[str, "Value"]


class Method(NamedTuple):
    """Something to be called with texts, such as ``.Meta``."""

    call: Callable[..., "Value"]


Value: TypeAlias = bool | int | str | list["Value"] | dict[str, "Value"] | Fields | Method | None


class TemplateFailure(Exception):
    """A run that came to nothing."""


WIDEST: Final = 1000
"""Characters that a verb of printf may ask for."""
VERB: Final = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>[0-9]{0,6})(?:\.(?P<precision>[0-9]{0,6}))?(?P<verb>.)", re.S)


def truth(value: Value) -> bool:
    """False for nothing, zero, and what is empty."""
    return bool(value.fields if isinstance(value, Fields) else value)


def written(value: Value) -> str:
    """A value as Go writes it."""
    match value:
        case None:
            return "<no value>"
        case bool():
            return "true" if value else "false"
        case list():
            return "[" + " ".join(map(written, value)) + "]"
        case dict():
            return "map[" + " ".join(f"{key}:{written(value[key])}" for key in sorted(value)) + "]"
        case Fields(fields):
            return "{" + " ".join(map(written, fields.values())) + "}"
        case Method():
            raise TemplateFailure("wrong number of args")
        case _:
            return str(value)


def quoted(text: str) -> str:
    """In quotes, as Go's ``%q``."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _index(value: Value, *keys: Value) -> Value:
    for key in keys:
        if isinstance(value, dict):
            if not isinstance(key, str):
                raise TemplateFailure(f"error calling index: {written(key)} is not a key of a map")
            value = value.get(key, "")
        elif isinstance(value, list | str):
            if isinstance(key, bool) or not isinstance(key, int):
                raise TemplateFailure(f"error calling index: cannot index with {written(key)}")
            if not 0 <= key < len(value):
                raise TemplateFailure(f"error calling index: index out of range: {key}")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        else:
            raise TemplateFailure("error calling index: can't index item")
    return value


def _len(value: Value) -> Value:
    if not isinstance(value, str | list | dict):
        raise TemplateFailure("error calling len: it has no length")
    return len(value)


def _slice(value: Value, *ends: Value) -> Value:
    if not isinstance(value, str | list) or len(ends) > 2:
        raise TemplateFailure("error calling slice: a text or a list, and two numbers at most")
    numbers = [end if isinstance(end, int) else -1 for end in ends]
    low, high = [*numbers, *(0, len(value))[len(numbers) :]]
    if not 0 <= low <= high <= len(value):
        raise TemplateFailure(f"error calling slice: index out of range: {low}, {high}")
    return value[low:high]


def _parse_int(text: Value, base: Value, bits: Value) -> Value:
    """Go's ``strconv.ParseUint``."""
    if not isinstance(text, str) or not isinstance(base, int) or not isinstance(bits, int):
        raise TemplateFailure("error calling parseInt: a text and two numbers")
    try:
        if not re.fullmatch(r"[0-9A-Za-z_]+" if base == 0 else r"[0-9A-Za-z]{1,64}", text):
            raise ValueError
        number = int(text, base)
    except ValueError:
        raise TemplateFailure(f"error calling parseInt: parsing {quoted(text)}: invalid syntax") from None
    if number >= 1 << (bits or 64):
        raise TemplateFailure(f"error calling parseInt: parsing {quoted(text)}: value out of range")
    return number


def _print(*values: Value) -> Value:
    parts: list[str] = []
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            parts.append(" ")
        parts.append(written(value))
    return "".join(parts)


def _printf(form: Value, *values: Value) -> Value:
    if not isinstance(form, str):
        raise TemplateFailure("error calling printf: the first argument is a text")
    rest = list(values)

    def put(verb: re.Match[str]) -> str:
        if verb["verb"] == "%":
            return "%"
        if not rest:
            return f"%!{verb['verb']}(MISSING)"
        return _verb(verb, rest.pop(0))

    text = VERB.sub(put, form)
    if rest:
        text += "%!(EXTRA " + ", ".join(f"{_go_type(value)}={written(value)}" for value in rest) + ")"
    return text


def _verb(verb: re.Match[str], value: Value) -> str:
    width, kind, flags = int(verb["width"] or 0), verb["verb"], verb["flags"]
    precision = int(verb["precision"] or 0) if verb["precision"] is not None else None
    if max(width, precision or 0) > WIDEST:
        raise TemplateFailure(f"error calling printf: a width of over {WIDEST}")
    if kind in "dxXobc" and isinstance(value, int) and not isinstance(value, bool):
        text = chr(value) if kind == "c" and 0 <= value < 0x110000 else format(value, kind if kind != "c" else "d")
        if precision is not None:
            text = text.zfill(precision)
        text = f"+{text}" if "+" in flags and value >= 0 else text
    elif kind in "sqvxX" and not (kind in "sqxX" and isinstance(value, int)):
        text = written(value)
        if precision is not None:
            text = text[:precision]
        text = quoted(text) if kind == "q" else text.encode().hex() if kind in "xX" else text
        text = text.upper() if kind == "X" else text
    elif kind in "vt" and isinstance(value, int) and (kind == "v" or isinstance(value, bool)):
        text = written(value)
    else:
        return f"%!{kind}({_go_type(value)}={written(value)})"
    if "-" in flags:
        return text.ljust(width)
    return text.zfill(width) if "0" in flags else text.rjust(width)


def _go_type(value: Value) -> str:
    return {bool: "bool", int: "int", str: "string"}.get(type(value), "interface {}")


def _equal(first: Value, *others: Value) -> Value:
    for other in others:
        if type(first) is not type(other):
            raise TemplateFailure("error calling eq: incompatible types for comparison")
    return any(first == other for other in others)


def _less(first: Value, second: Value) -> bool:
    if isinstance(first, str) and isinstance(second, str):
        return first < second
    if isinstance(first, int) and isinstance(second, int):
        return first < second
    raise TemplateFailure("error calling lt: incompatible types for comparison")


class Function(NamedTuple):
    """What can be called, and with how many arguments."""

    call: Callable[..., Value]
    least: int
    most: int | None


FUNCTIONS: Final = {
    "index": Function(_index, 1, None),
    "len": Function(_len, 1, 1),
    "slice": Function(_slice, 1, 3),
    "parseInt": Function(_parse_int, 3, 3),
    "print": Function(_print, 0, None),
    "println": Function(lambda *values: " ".join(map(written, values)) + "\n", 0, None),
    "printf": Function(_printf, 1, None),
    "not": Function(lambda value: not truth(value), 1, 1),
    "eq": Function(_equal, 2, None),
    "ne": Function(lambda first, second: not _equal(first, second), 2, 2),
    "lt": Function(_less, 2, 2),
    "le": Function(lambda first, second: not _less(second, first), 2, 2),
    "gt": Function(lambda first, second: _less(second, first), 2, 2),
    "ge": Function(lambda first, second: not _less(first, second), 2, 2),
}
"""But for ``and`` and ``or``, which do not work out all their arguments."""
MISSING: Final = frozenset({"call", "html", "js", "urlquery", "block", "define", "template"})
"""Words of Go's templates that are not there."""
