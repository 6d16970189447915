"""``kubectl kdns``: kubectl's flags become those of kdns."""

from pathlib import Path

import pytest

from kdns.cli.kubectl import context_namespace, translated

CONFIG = """
current-context: kind
contexts:
- {name: kind, context: {cluster: kind, user: kind, namespace: shop}}
- {name: prod, context: {cluster: prod, user: prod}}
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("explain cart --context prod", "explain cart --source kubeconfig:@prod"),
        ("explain cart --context=kind", "explain cart --source kubeconfig:@kind --namespace shop"),
        ("explain cart", "explain cart --namespace shop"),
        ("explain cart -n web", "explain cart -n web"),
        ("explain cart --from web/client", "explain cart --from web/client"),
        ("explain cart --source dump.yaml", "explain cart --source dump.yaml"),
        ("explain cart --evidence bundle", "explain cart --evidence bundle"),
        ("collect --context prod", "collect --source kubeconfig:@prod"),
        ("version", "version"),
        ("", ""),
    ],
)
def test_flags(words: str, expected: str, tmp_path: Path) -> None:
    """Context and kubeconfig become a source, the context's Namespace that of short names."""
    config = tmp_path / "config"
    config.write_text(CONFIG)
    assert " ".join(translated(words.split(), {"KUBECONFIG": str(config)})) == expected


def test_a_named_file(tmp_path: Path) -> None:
    """--kubeconfig names the file; one that cannot be read has no Namespace."""
    config = tmp_path / "config"
    config.write_text(CONFIG)
    words = ["explain", "cart", "--kubeconfig", str(config)]
    assert translated(words, {}) == ["explain", "cart", "--source", f"kubeconfig:{config}", "--namespace", "shop"]
    assert context_namespace(str(tmp_path / "none"), "", {}) == ""
    config.write_text("[")
    assert context_namespace(str(config), "", {}) == ""
