"""The words of --source."""

import pytest

from kdns.config.source import InCluster, KubeconfigContext, Manifests, ServerUrl, SourceSpec, parse_source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("cluster", InCluster()),
        ("kubeconfig", KubeconfigContext()),
        ("kubeconfig:", KubeconfigContext()),
        ("kubeconfig:~/k@admin@home", KubeconfigContext("~/k", "admin@home")),
        ("kubeconfig:@lab", KubeconfigContext("", "lab")),
        ("http://127.0.0.1:8001", ServerUrl("http://127.0.0.1:8001")),
        ("https://api:6443", ServerUrl("https://api:6443")),
        ("-", Manifests("-")),
        ("kubeconfigs/", Manifests("kubeconfigs/")),
        ("./cluster", Manifests("./cluster")),
        ("http", Manifests("http")),
    ],
)
def test_sources(text: str, source: SourceSpec) -> None:
    """Each kind of source has its words, and all else is a path."""
    assert parse_source(text) == source
