"""Parts of a lab by what people say: a name, how it begins, a workload."""

from typing import Any

import pytest

from kdns.base.errors import ConfigError
from kdns.lab.naming import find_part
from kdns.lab.status import columns


def pod(
    name: str, owner: str, ready: bool = True, namespace: str = "default", kind: str = "Deployment"
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name, "namespace": namespace,
            "ownerReferences": [{"kind": kind, "name": owner, "controller": True}],
        },
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }  # fmt: skip


PODS = (
    pod("web-abc-1", "web", ready=False),
    pod("web-abc-2", "web"),
    pod("db-0", "db", kind="StatefulSet"),
    pod("db-0", "db", namespace="shop", kind="StatefulSet"),
    pod("webhook-xyz-9", "webhook"),
)
PARTS = ("node-0", "node-1", "outside", "switch", "web-abc-1", "web-abc-2", "webhook-xyz-9", "db-0", "db-0.shop")


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("node-0", "node-0"),
        ("db-0", "db-0"),
        ("out", "outside"),
        ("webh", "webhook-xyz-9"),
        ("pod/web-abc-1", "web-abc-1"),
        ("deploy/web", "web-abc-2"),
        ("deployment/webh", "webhook-xyz-9"),
        ("sts/db", "db-0"),
    ],
)
def test_what_is_found(said: str, part: str) -> None:
    """A whole name wins over the beginning of another one; of a workload it is the first ready Pod."""
    assert find_part("kdns", said, PARTS, PODS) == part


@pytest.mark.parametrize(
    ("said", "problem", "hint"),
    [
        ("web", "lab kdns has 3 parts that begin with 'web'", "web-abc-1, web-abc-2, webhook-xyz-9"),
        ("webhok-xyz-9", "lab kdns has no 'webhok-xyz-9'", "did you mean webhook-xyz-9"),
        ("zzz", "lab kdns has no 'zzz'", "it has: db-0, db-0.shop, node-0"),
        ("deploy/wbe", "lab kdns has no 'deploy/wbe'", "there are web"),
        ("ds/web", "lab kdns has no 'ds/web'", "no DaemonSet has Pods"),
        ("", "lab kdns has no ''", "it has: "),
    ],
)
def test_what_is_not(said: str, problem: str, hint: str) -> None:
    """The error says what there is that is near."""
    with pytest.raises(ConfigError) as raised:
        find_part("kdns", said, PARTS, PODS)
    assert raised.value.problem == problem
    assert raised.value.hint.startswith(hint)


def test_columns_never_cut() -> None:
    """They are as wide as the longest cell, whatever the terminal is."""
    long = "checkoutservice-" + "x" * 100
    assert list(columns(("PART", "READY"), ((long, "yes"), ("a", "no")))) == [
        "PART" + " " * (len(long) - 2) + "READY",
        f"{long}  yes",
        "a" + " " * (len(long) + 1) + "no",
    ]
