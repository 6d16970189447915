"""``kubectl kdns ...``: kdns as a plugin of kubectl, which runs ``kubectl-kdns`` with the words behind ``kdns``.

kubectl's own flags for where to look become those of kdns::

    kubectl kdns explain cart --context prod         kdns explain cart --source kubeconfig:@prod -n shop
    kubectl kdns collect --kubeconfig FILE           kdns collect --source kubeconfig:FILE

The Namespace that a context has is that of short names, as everywhere in kubectl.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from kdns.cli import early

ASKING: Final = frozenset({"explain", "collect", "records"})
"""Commands that read a cluster by ``--source``."""
WHERE: Final = ("--context", "--kubeconfig")


def translated(words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The words for kdns."""
    given: dict[str, str] = {}
    rest: list[str] = []
    left = iter(words)
    for word in left:
        flag, equals, text = word.partition("=")
        if flag in WHERE:
            given[flag] = text if equals else next(left, "")
        else:
            rest.append(word)
    if not rest or rest[0] not in ASKING:
        return rest
    path, context = given.get("--kubeconfig", ""), given.get("--context", "")
    flags = {word.partition("=")[0] for word in rest}
    if given and "--source" not in flags:
        rest += ["--source", f"kubeconfig:{path}" + (f"@{context}" if context else "")]
    offline = bool({"--source", "--evidence"} & flags)
    if rest[0] == "explain" and not offline and not {"-n", "--namespace", "--from"} & flags:
        namespace = context_namespace(path, context, environ)
        rest += ["--namespace", namespace] if namespace else []
    return rest


def context_namespace(path: str, context: str, environ: Mapping[str, str]) -> str:
    """The Namespace of a context, the current one if none is named; empty if it has none, or cannot be read.

    Several files are merged as kubectl does it: the first that has a value counts.
    """
    paths = [path] if path else (environ.get("KUBECONFIG") or str(Path.home() / ".kube/config")).split(os.pathsep)
    contexts: dict[str, Any] = {}
    for name in paths:
        try:
            values = yaml.load(Path(name).read_text(), yaml.CSafeLoader)
        except (OSError, yaml.YAMLError, UnicodeDecodeError):
            continue  # `--source` reads them too, and says what is wrong
        if not isinstance(values, dict):
            continue
        context = context or str(values.get("current-context") or "")
        for entry in values.get("contexts") or ():
            if isinstance(entry, dict):
                contexts.setdefault(str(entry.get("name")), entry.get("context"))
    chosen = contexts.get(context)
    return str(chosen.get("namespace") or "") if isinstance(chosen, dict) else ""


def main() -> int:
    """Run the command line; the exit status."""
    early.install()
    from kdns.cli import main as cli  # noqa: PLC0415 - it takes its time

    return cli.main(translated(sys.argv[1:], os.environ))
