"""Values as JSON or YAML on standard output, for ``-o json`` and ``-o yaml``."""

import json
from typing import Any, TextIO

FORMS = ("json", "yaml")


def write(value: Any, form: str, out: TextIO) -> None:
    """Write plain values (dicts, lists, texts, numbers, None) in one of `FORMS`."""
    if form == "yaml":
        import yaml  # noqa: PLC0415 - only those who ask for it wait for it

        yaml.safe_dump(value, out, sort_keys=False, allow_unicode=True, default_flow_style=False)
        return
    json.dump(value, out, indent=1, ensure_ascii=False)
    out.write("\n")
