"""Label and field selectors, as an API server applies them."""

import re
from collections.abc import Callable, Mapping

Labels = Mapping[str, str]
Selector = Callable[[Labels], bool]

_IN = re.compile(r"^\s*(\S+)\s+(in|notin)\s*\(([^)]*)\)\s*$")
_COMMA = re.compile(r",(?![^(]*\))")


def label_selector(text: str) -> Selector:
    """``a=b``, ``a==b``, ``a!=b``, ``a in (b,c)``, ``a notin (b)``, ``a``, ``!a``, joined by commas."""
    parts = [_label_requirement(part.strip()) for part in _COMMA.split(text) if part.strip()]
    return lambda labels: all(part(labels) for part in parts)


def field_selector(text: str) -> Selector:
    """``a=b``, ``a==b``, ``a!=b``, joined by commas; a field that is missing is the empty text."""
    parts = [_field_requirement(part.strip()) for part in text.split(",") if part.strip()]
    return lambda fields: all(part(fields) for part in parts)


def _label_requirement(text: str) -> Selector:
    if match := _IN.match(text):
        key, verb, values = match[1], match[2], {value.strip() for value in match[3].split(",")}
        if verb == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if "!=" in text:
        key, value = (side.strip() for side in text.split("!=", 1))
        return lambda labels: labels.get(key) != value
    if "=" in text:
        key, value = (side.strip() for side in re.split("==?", text, maxsplit=1))
        return lambda labels: labels.get(key) == value
    if text.startswith("!"):
        return lambda labels: text[1:] not in labels
    return lambda labels: text in labels


def _field_requirement(text: str) -> Selector:
    if "!=" in text:
        key, value = text.split("!=", 1)
        return lambda fields: fields.get(key, "") != value
    key, value = re.split("==?", text, maxsplit=1)
    return lambda fields: fields.get(key, "") == value
