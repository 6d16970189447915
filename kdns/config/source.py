"""Where objects come from: the words of ``--source`` and of Corefiles, read once into a typed value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct

from kdns.base.errors import ConfigError
from kdns.config.arguments import near

SOURCES: Final = "--source cluster, --source kubeconfig[:PATH[@CONTEXT]], or --source PATH (manifests; - is stdin)"

IN_CLUSTER: Final = "KUBERNETES_SERVICE_HOST"
"""The variable that every Pod has."""


class InCluster(Struct, frozen=True):
    """The API server of the cluster that kdns runs in, as its ServiceAccount."""


class KubeconfigContext(Struct, frozen=True):
    """A context of a kubeconfig."""

    path: str = ""
    """Empty: the file that KUBECONFIG names, else ~/.kube/config."""
    context: str | None = None
    """None: the current one."""


class ServerUrl(Struct, frozen=True):
    """An API server that needs no credentials, such as ``kubectl proxy``."""

    url: str


class Manifests(Struct, frozen=True):
    """A file or folder of manifests."""

    path: str
    """``-`` is standard input."""


SourceSpec: TypeAlias = InCluster | KubeconfigContext | ServerUrl | Manifests


def parse_source(text: str) -> SourceSpec:
    """``cluster``, ``kubeconfig[:PATH[@CONTEXT]]``, an ``http://`` or ``https://`` URL; any other text is a path.

    Raises ConfigError for the URL of a manifest.
    Contexts often contain an ``@`` (kubernetes-admin@kubernetes), paths hardly ever: the first one counts.
    """
    if text == "cluster":
        return InCluster()
    if text.startswith(("http://", "https://")):
        if text.endswith((".yaml", ".yml", ".json")):
            raise ConfigError(
                f"--source: {text}: a URL is an API server's", hint=f"curl -L {text} | kdns records --source -"
            )
        return ServerUrl(text)
    kind, _, place = text.partition(":")
    if kind == "kubeconfig":
        path, _, context = place.partition("@")
        return KubeconfigContext(path, context or None)
    return Manifests(text)


def default_source(environ: Mapping[str, str]) -> str:
    """For commands that ask a cluster where no source is given: the one that we run in, or that of the kubeconfig."""
    return "cluster" if environ.get(IN_CLUSTER) else "kubeconfig"


def pick_source(text: str, environ: Mapping[str, str]) -> str:
    """The source in words, or the cluster we run in. Raises ConfigError naming the three when there is none."""
    if text:
        source = parse_source(text)
        if isinstance(source, Manifests) and text != "-" and not Path(text).exists():
            hint = near(text.partition(":")[0].partition("@")[0], ("cluster", "kubeconfig"))
            if text.startswith("kubeconfig@"):
                hint = f"did you mean {text.replace('@', ':@', 1)}?"
            raise ConfigError(f"--source: no file or folder {text!r}", hint=hint or f"there are {SOURCES}")
        return text
    if environ.get(IN_CLUSTER):
        return "cluster"
    raise ConfigError("no source: kdns does not run in a cluster, so say where objects come from", hint=SOURCES)
