"""The commands by name, with one line about each. `kdns.cli.main` imports their modules one at a time, when needed."""

from collections.abc import Mapping
from typing import Final

GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "run on a cluster": {
        "serve": "answer DNS for a cluster, or for a folder of manifests",
        "proxy": "program this node's kernel for Services, as kube-proxy does",
        "node": "both of them in one process, for one node",
    },
    "look": {
        "explain": "say why a name or a port does not answer, with evidence",
        "collect": "put the evidence of a cluster and of a node into one file, for explain",
        "preflight": "look whether kdns would work here, and what would change",
        "check": "list the mistakes of a Corefile, or what it would serve",
        "records": "print every DNS record, and the object it came from",
        "rules": "print the rules that the proxy would write",
        "plugins": "list the directives that a Corefile may name",
        "top": "show who asks what, and the last failures",
    },
    "try": {
        "demo": "serve an example cluster on this machine, and show it",
        "lab": "a cluster of network namespaces on this machine",
    },
    "other": {
        "completion": "print a completion script for bash, zsh or fish",
        "version": "print the version",
    },
}
"""What ``kdns --help`` lists."""
COMMANDS: Final[Mapping[str, str]] = {name: text for group in GROUPS.values() for name, text in group.items()}
SERVING: Final = frozenset({"serve", "demo", "proxy", "node"})
"""Commands that handle signals themselves, see `kdns.ops.shutdown.Stop`."""
