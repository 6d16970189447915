"""A server whose Corefile wants to know who asks what, and ``kdns top`` beside it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from kdns.cli.main import main
from kdns.demo.ask import Question
from tests.running import NOBODY, WEB, Kdns, folder, logging_as_it_was

POD = """
apiVersion: v1
kind: Pod
metadata: {name: asker, namespace: shop}
spec: {nodeName: node1}
status: {phase: Running, podIP: 127.0.0.1, podIPs: [{ip: 127.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: elsewhere, namespace: shop}
spec: {nodeName: node2}
status: {phase: Running, podIP: 127.0.0.1, podIPs: [{ip: 127.0.0.1}]}
"""
COREFILE = """cluster.local test {
    bind 127.0.0.1
    top 127.0.0.1:0 {
        metrics 2
    }
    kubernetes cluster.local {
        clients node1
    }
    forward . 127.0.0.1:1
}
"""


def counted(page: dict[str, Any], kind: str) -> dict[str, int]:
    """Key -> questions of the last ten minutes."""
    return {one["key"]: one["questions"] for one in page["windows"]["10m"][kind]["top"]}


@pytest.mark.e2e
async def test_who_asks_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Questions of the fast path and of the chain, and failures, each with the Pod of this node that asked."""
    (tmp_path / "Corefile").write_text(COREFILE)
    (tmp_path / "objects").mkdir()
    source = folder(tmp_path / "objects")
    (tmp_path / "objects" / "pod.yaml").write_text(POD)
    async with Kdns("-conf", str(tmp_path / "Corefile"), "-dns.port", "0", "--source", source) as kdns:
        for _ in range(3):
            await kdns.ask(WEB)
        await kdns.ask(NOBODY)
        await kdns.ask(Question("elsewhere.test", "A"))
        where = (await kdns.line(r"/top on (\S+)"))[1]
        with logging_as_it_was():
            assert await asyncio.to_thread(main, ["top", "--url", f"http://{where}/top", "-o", "json"]) == 0
            page = json.loads(capsys.readouterr().out)
            assert await asyncio.to_thread(main, ["top", "--url", f"http://{where}/top"]) == 0
    assert counted(page, "pod") == {"shop/asker": 5}
    assert counted(page, "namespace") == {"shop": 5}
    assert counted(page, "name")["web.shop.svc.cluster.local."] == 3
    assert counted(page, "rcode") == {"NOERROR": 3, "NXDOMAIN": 1, "SERVFAIL": 1}
    assert counted(page, "wasted") == {"shop/asker": 1}
    (failure,) = page["failures"]
    assert (failure["pod"], failure["name"], failure["rcode"]) == ("asker", "elsewhere.test.", "SERVFAIL")
    assert "refused" in failure["why"]
    text = capsys.readouterr().out
    assert text.startswith("5 questions in the last 10m\n")
    assert "shop/asker" in text
    assert [line for line in text.splitlines() if len(line) > 100] == []


def test_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    """What to do is said where nothing answers."""
    assert main(["top", "--url", "http://127.0.0.1:9/top"]) == 1
    assert "plugin top" in capsys.readouterr().err
