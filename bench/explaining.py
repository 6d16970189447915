"""`kdns explain` on the dump of a large cluster: processor time and memory of the whole command."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bench import dump, plan
from bench.report import Target, table

KEY = "explain"
ENDPOINTS = 10
"""Of each Service."""
ASKED = (47, 4711, 9999)


def measure(folder: Path) -> tuple[str, list[Target]]:
    """The table, and what it says of the promises."""
    evidence = folder / "evidence"
    dump.write_dump(evidence, plan.SERVICES, ENDPOINTS)
    lines = (evidence / "node" / dump.NODE / "iptables-save.txt").read_bytes().count(b"\n")
    octets = sum(path.stat().st_size for path in evidence.rglob("*") if path.is_file())
    asked = [_explain(evidence, dump.target(number)) for number in ASKED]
    rows = [
        (dump.target(number), f"{cpu:.2f}", f"{memory:.0f}") for number, (cpu, memory) in zip(ASKED, asked, strict=True)
    ]
    cpu, memory = min(seconds for seconds, _ in asked), max(memory for _, memory in asked)
    about = (
        f"kdns explain on a folder of evidence with {plan.SERVICES:,} Services, {plan.SERVICES * ENDPOINTS:,} Pods and "
        f"endpoints, and {lines:,} lines of iptables-save ({octets / 1e6:.0f} MB)."
    )
    text = f"{about}\n\n{table(('question', 'CPU s', 'resident MB'), rows)}"
    return text, [
        Target("kdns explain on 100k endpoints: at most 5 s of CPU", f"{cpu:.2f} s", cpu <= 5),
        Target("kdns explain on 100k endpoints: at most 400 MB", f"{memory:.0f} MB", memory <= 400),
    ]


def _explain(evidence: Path, target: str) -> tuple[float, float]:
    """Seconds of CPU, and MB at most. RuntimeError where the answer is not right."""
    argv = [sys.executable, "-m", "kdns", "explain", target, "--from-node", dump.NODE, "-o", "json"]
    with subprocess.Popen([*argv, "--evidence", str(evidence)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        report = json.loads(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    [rules] = [link for link in report["links"] if link["link"] == "rules"]
    if rules["state"] != "ok" or f"{ENDPOINTS} endpoints" not in rules["says"]:
        raise RuntimeError(f"kdns explain {target}: {rules}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6
