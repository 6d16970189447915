"""Plugins that stand beside `kubernetes` in a Corefile get from the cluster what they need, and only then."""

import pytest

from kdns.base.errors import ConfigError
from tests.dns.server.test_plan import blocks

BLOCK = ".:0 {{\n bind 127.0.0.1\n kubernetes {{\n  pods verified\n }}\n {}\n}}\n"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("errors", (False, False, False)),
        ("k8s_external example.org", (True, False, False)),
        ("autopath @kubernetes", (False, True, False)),
        ("autopath @kubernetes\n k8s_external example.org", (True, True, False)),
        ("metadata", (False, True, True)),
    ],
)
def test_what_is_kept(line: str, kept: tuple[bool, bool, bool]) -> None:
    """External addresses for `k8s_external`, the Pods of clients for `autopath`, their labels for `metadata`."""
    (block,) = blocks(BLOCK.format(line))
    (cluster,) = block.parts.clusters._clusters
    (options,) = cluster.by_options
    assert (options.external, options.by_client, options.labelled) == kept
    assert [want.labels for want in cluster.wanted if want.kind == "Pod"] == [kept[2]]
    assert [want.external for want in cluster.wanted if want.kind == "Service"] == [kept[0]]


@pytest.mark.parametrize("line", ["k8s_external example.org", "autopath @kubernetes"])
def test_without_kubernetes(line: str) -> None:
    """Told before anything is served."""
    with pytest.raises(ConfigError, match="no cluster to"):
        blocks(f".:0 {{\n {line}\n}}\n")
