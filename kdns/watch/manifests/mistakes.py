"""Values of the wrong type in a manifest, in words that name the field, the value and the place. Pure."""

import json
import re
from typing import Any, TypeVar

import msgspec

from kdns.base.errors import ConfigError
from kdns.config.yaml_values import Path
from kdns.watch.manifests.documents import Document

T = TypeVar("T")


def converted(document: Document, wanted: type[T]) -> T:
    """The document as a struct; ConfigError with the place of the first value that does not fit."""
    try:
        return msgspec.convert(document.value, wanted)
    except msgspec.ValidationError as error:
        raise _wrong_type(document, str(error)) from None


WRONG = re.compile(r"Expected `([^`]*)`, got `([^`]*)`(?: - at `\$\.?([^`]*)`)?")
PEOPLES_WORDS = {"array": "list", "object": "mapping", "str": "text"}


def _wrong_type(document: Document, message: str) -> ConfigError:
    """What msgspec found, with the field, its value and its line: ``spec.ports[0].port: expected int, got "http"``."""
    match = WRONG.match(message)
    if match is None:
        return ConfigError(message, document.span())
    expected = [PEOPLES_WORDS.get(word, word) for word in match[1].split(" | ") if word != "null"]
    path, value = _walk(document.value, match[3] or "", match[2])
    field = ".".join(f"[{step}]" if isinstance(step, int) else step for step in path).replace(".[", "[")
    shown = _sample(value)
    problem = f"expected {' or '.join(expected)}, got {shown}"
    return ConfigError(f"{field}: {problem}" if field else problem, document.span(path))


def _walk(value: Any, path: str, got: str) -> tuple[Path, Any]:
    """Follow msgspec's path: keys may hold dots, and ``[...]`` stands for some key of a mapping."""
    steps: list[str | int] = []
    while path:
        if path.startswith("[...]") and isinstance(value, dict):
            types = {"str": str, "int": int, "float": float, "bool": bool, "array": list, "object": dict}
            step: str | int = next((key for key, part in value.items() if type(part) is types.get(got)), "")
            path = path[5:]
        elif (index := re.match(r"\[(\d+)\]", path)) and isinstance(value, list):
            step, path = int(index[1]), path[index.end() :]
        elif isinstance(value, dict):
            fits = [key for key in value if path.startswith(key) and path[len(key) : len(key) + 1] in {"", ".", "["}]
            step = max(fits, key=len, default=path)
            path = path[len(step) :]
        else:
            break
        path = path.removeprefix(".")
        steps.append(step)
        try:
            value = value[step]
        except (KeyError, IndexError):
            break
    return tuple(steps), value


def _sample(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return short(value)


def short(value: object) -> str:
    """A value on one line, in JSON's spelling."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 64 else text[:60] + '..."'
