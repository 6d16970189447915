"""E31: whether a node's proxy runs and keeps up, by what its ports answered and by its Pod."""

from pathlib import Path
from shutil import copytree

import pytest
import yaml

from tests.explain.cases import CASES, explained

METRICS = (
    'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{{ip_family="IPv4"}} 1.7e+09\n'
    'kubeproxy_sync_proxy_rules_last_timestamp_seconds{{ip_family="IPv4"}} {}\n'
)
STAMP = "2026-11-30 10:{}:00.5 +0000 UTC m=+9"
SIGNS = (
    ("refused", "proxy-healthz.txt", "curl: (7) Failed to connect to 127.0.0.1 port 10256: Connection refused\n", True),
    ("503", "proxy-healthz.txt", "HTTP/1.1 503 Service Unavailable\n\nnot healthy\n", True),
    ("unhealthy", "proxy-healthz.txt", '{"healthy": false}\n', True),
    ("old", "proxy-healthz.txt", f'{{"lastUpdated": "{STAMP.format(10)}", "currentTime": "{STAMP.format(20)}"}}', True),
    ("queued", "proxy-metrics.txt", METRICS.format("1.6999990e+09"), True),
    ("healthy", "proxy-healthz.txt", '{"healthy": true, "nodeEligible": true}\n', False),
    ("fresh", "proxy-healthz.txt",
     f'{{"lastUpdated": "{STAMP.format(20)}", "currentTime": "{STAMP.format(20)}"}}', False),
    ("synced", "proxy-metrics.txt", METRICS.format("1.7e+09"), False),
)  # fmt: skip
"""Title, file, text, and whether it is a sign that the proxy stands still."""


@pytest.mark.parametrize(("title", "file", "text", "still"), SIGNS, ids=[row[0] for row in SIGNS])
def test_a_proxy_that_stands_still_comes_before_its_rules(
    title: str, file: str, text: str, still: bool, tmp_path: Path
) -> None:  # fmt: skip
    """With rules that are old, E31 is the first fault; a proxy that keeps up leaves E32."""
    folder = copytree(CASES / "E32-stale-endpoint-iptables", tmp_path / "case")
    (folder / "node" / "worker-1" / file).write_text(text)
    _, report = explained(folder, {"target": "cart.shop:80", "from": "shop/client", "common": False})
    assert report["first_fault"] == ("E31" if still else "E32")


def test_rules_that_are_right_make_it_a_warning(tmp_path: Path) -> None:
    """The question is answered as long as nothing changes."""
    folder = copytree(CASES / "healthy-iptables", tmp_path / "case")
    (folder / "node" / "worker-1" / "proxy-healthz.txt").write_text('{"healthy": false}')
    _, report = explained(folder, {"target": "cart.shop:80", "from": "shop/client", "common": False})
    assert report["first_fault"] is None
    assert "E31" in [row["code"] for row in report["links"] if row["state"] == "warning"]


@pytest.mark.parametrize(("node", "phase", "still"), [("worker-1", "Running", False), ("worker-1", "Pending", True),
                                                      ("worker-2", "Running", True)])  # fmt: skip
def test_the_proxys_pod_is_a_sign(node: str, phase: str, still: bool, tmp_path: Path) -> None:
    """One that is not running on the node, or on other nodes only."""
    folder = copytree(CASES / "E32-stale-endpoint-iptables", tmp_path / "case")
    pod = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "kube-proxy-x1", "namespace": "kube-system", "labels": {"k8s-app": "kube-proxy"}},
        "spec": {"nodeName": node, "hostNetwork": True, "containers": [{"name": "kube-proxy", "image": "kube-proxy"}]},
        "status": {"phase": phase},
    }  # fmt: skip
    (folder / "proxy-pod.yaml").write_text(yaml.safe_dump(pod))
    _, report = explained(folder, {"target": "cart.shop:80", "from": "shop/client", "common": False})
    assert report["first_fault"] == ("E31" if still else "E32")
