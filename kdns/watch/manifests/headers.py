"""The kind, Namespace and labels of an item of a list, read without the rest of it: octets or text in. Pure.

Dumps of large clusters are hundreds of megabytes, of which one question needs a few items.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec


class Header(NamedTuple):
    """What an item of a list is, read without the rest of it."""

    kind: str
    """Empty: not known."""
    namespace: str
    """As it is written: empty where it is not."""
    labels: Mapping[str, str]


Choose = Callable[[Header, bytes], bool]
"""Whether an item of a list is wanted; the octets are the whole item's, JSON or YAML."""


class _JsonMetadata(msgspec.Struct):
    namespace: str | None = None
    labels: dict[str, str | None] | None = None


class _JsonHeader(msgspec.Struct):
    kind: str = ""
    metadata: _JsonMetadata | None = None


_HEADER: Final = msgspec.json.Decoder(_JsonHeader)


def json_header(item: bytes, kind: str) -> Header:
    """Of an item of a list of this kind; all is empty where it has no such header."""
    try:
        header = _HEADER.decode(item)
    except (msgspec.DecodeError, RecursionError):
        return Header("", "", {})
    metadata = header.metadata or _JsonMetadata()
    labels = {key: value or "" for key, value in (metadata.labels or {}).items()}
    return Header(header.kind or kind.removesuffix("List"), metadata.namespace or "", labels)


YAML_KIND: Final = re.compile(r"^[- ] kind: ([A-Za-z]+)$", re.MULTILINE)
YAML_METADATA: Final = re.compile(r"^[- ] metadata:\n((?:    .*\n)*)", re.MULTILINE)
YAML_NAMESPACE: Final = re.compile(r"^    namespace: (?:([a-z0-9][-a-z0-9]*)|\"([^\"]*)\"|'([^']*)')$", re.MULTILINE)
YAML_LABELS: Final = re.compile(r"^    labels:\n((?:      .*\n)*)", re.MULTILINE)
YAML_LABEL: Final = re.compile(r"^      ([^\s:]+): [\"']?([^\s\"']*)[\"']?$", re.MULTILINE)


def yaml_header(item: str) -> Header:
    """Of an item as kubectl writes it, which begins with a dash; what is not found is empty."""
    kind, metadata = YAML_KIND.search(item), YAML_METADATA.search(item)
    text = metadata[1] if metadata else ""
    namespace, labels = YAML_NAMESPACE.search(text), YAML_LABELS.search(text)
    return Header(
        kind[1] if kind else "",
        next(filter(None, namespace.groups()), "") if namespace else "",
        dict(YAML_LABEL.findall(labels[1])) if labels else {},
    )
