"""Which source of objects a command reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kdns.base.errors import ConfigError
from kdns.config.arguments import near

SOURCES: Final = "--source cluster, --source kubeconfig[:PATH[@CONTEXT]], or --source PATH (manifests; - is stdin)"

IN_CLUSTER: Final = "KUBERNETES_SERVICE_HOST"
"""The variable that every Pod has."""


def pick_source(text: str, environ: Mapping[str, str]) -> str:
    """The source in words, or the cluster we run in. Raises ConfigError naming the three when there is none."""
    if text:
        known = text in {"cluster", "kubeconfig", "-"} or text.startswith(("kubeconfig:", "http://", "https://"))
        if not known and not Path(text).exists():
            hint = near(text.partition(":")[0].partition("@")[0], ("cluster", "kubeconfig"))
            if text.startswith("kubeconfig@"):
                hint = f"did you mean {text.replace('@', ':@', 1)}?"
            raise ConfigError(f"--source: no file or folder {text!r}", hint=hint or f"there are {SOURCES}")
        return text
    if environ.get(IN_CLUSTER):
        return "cluster"
    raise ConfigError("no source: kdns does not run in a cluster, so say where objects come from", hint=SOURCES)
