"""What it costs a question to be seen: `top` and `log`, with the Pods of the node known, beside a kdns without them."""

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import plan, report, rounds
from bench.peers import Peer, free_port, started, wait_for_answer
from bench.queries import WORKLOADS, Query, Workload
from bench.report import Target

KEY = "observers"
PLAIN = "kdns"
NODE = "node-1"
WITH_POD = '"{common} {/kubernetes/client-namespace}/{/kubernetes/client-pod-name}"'
EVERY_LINE, EVERY_LINE_WITH_POD = "log", "log with the Pod"
MORE = {
    PLAIN: "",
    "top": "top 127.0.0.1:{top}\n",
    "log, class error": "log {{\n class error\n}}\n",
    "log, namespace": "metadata\nlog {{\n namespace elsewhere\n}}\n",
    "log, every 100": f"metadata\nlog . {WITH_POD.replace('{', '{{').replace('}', '}}')} {{{{\n every 100\n}}}}\n",
    EVERY_LINE: "log\n",
    EVERY_LINE_WITH_POD: f"metadata\nlog . {WITH_POD.replace('{', '{{').replace('}', '}}')}\n",
}
"""A name for the page -> what stands in the Corefile."""
COREFILE = """.:{port} {{
%s    kubernetes cluster.local {{
        clients node-1
    }}
}}
"""
LIMITS = {
    "top": (PLAIN, 1.05),
    "log, class error": (PLAIN, 1.1),
    "log, namespace": (PLAIN, 1.1),
    "log, every 100": (PLAIN, 1.1),
    EVERY_LINE_WITH_POD: (EVERY_LINE, 1.1),
}
"""At most so many times the CPU of another one."""


def measure(folder: Path, times: int, seconds: float) -> tuple[str, list[Target]]:
    """The table, and the verdicts."""
    workload = next(workload for workload in WORKLOADS if workload.key == "hits")
    plan.write_manifests(folder / "cluster.json")
    listed = json.loads((folder / "cluster.json").read_text())
    listed["items"].append(pod())
    (folder / "cluster.json").write_text(json.dumps(listed))
    with contextlib.ExitStack() as stack:
        peers = [_started(stack, folder, name) for name in MORE]
        pairs: Sequence[tuple[Workload, Peer]] = [(workload, peer) for peer in peers]
        results = rounds.interleaved(pairs, times, seconds, folder)
    by_name = {result.peer: result for result in results}
    targets = []
    for name, (other, most) in LIMITS.items():
        ratio = rounds.ratio(by_name[name].full, by_name[other].full)
        beside = "without" if other == PLAIN else f"with {other}"
        targets.append(report.at_most(f"{name}: at most {most} x a question {beside}, saturated", ratio, most))
    return report.table(report.query_head(PLAIN), report.query_rows(results, PLAIN)), targets


def pod() -> dict[str, object]:
    """The Pod that all questions come from."""
    status = {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
    metadata = {"name": "asking", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": NODE}, "status": status}


def _started(stack: contextlib.ExitStack, folder: Path, name: str) -> Peer:
    port = free_port()
    corefile = folder / f"Corefile.observed.{port}"
    corefile.write_text((COREFILE % MORE[name]).format(port=port, top=free_port()))
    argv = [sys.executable, "-m", "kdns", "serve", "--conf", str(corefile), "--source", str(folder / "cluster.json")]
    log = folder / f"observed-{port}.log"
    process = stack.enter_context(started([*argv, "--quiet"], log))
    wait_for_answer(port, process, Query(plan.service_owner(0)), log)
    return Peer(name, process.pid, port)
