"""The kernel's part of the way to DNS: what connection tracking lost, and flows to DNS Pods that are gone."""

from pathlib import Path

import pytest

from tests.explain.cases import explained

ASKED = {"target": "kubernetes.default", "from": "shop/client", "common": True}
"""From worker-1; the cluster of ``common.yaml`` has one DNS Pod, 10.244.0.2."""
LOST = "cpu=0 found=5 invalid=1 insert=0 insert_failed={} drop={} early_drop=0 error=0 search_restart=0\n"
FLOW = (
    "ipv4 2 udp 17 {} src=10.244.0.9 dst=10.96.0.10 sport=5353 dport=53 {}src={} dst=10.244.0.9 sport=53 dport=5353 "
    "mark=0 use=1\n"
)
CASES = (
    ("lost many", "conntrack-stats.txt", LOST.format(4123, 0), "fault", "E18", "insert_failed=4123"),
    ("lost some", "conntrack-stats.txt", LOST.format(3, 0), "warning", "E18", "insert_failed=3"),
    ("table full", "sysctl.txt",
     "net.netfilter.nf_conntrack_count = 131072\nnet.netfilter.nf_conntrack_max = 131072\n", "fault", "E18", "full"),
    ("a Pod that is gone", "conntrack.txt", FLOW.format(110, "", "10.244.0.77"), "fault", "E19", "10.244.0.77:53"),
    ("not translated", "conntrack.txt", FLOW.format(28, "[UNREPLIED] ", "10.96.0.10"), "fault", "E19",
     "not translated"),
)  # fmt: skip
WELL = (
    ("lost nothing", "conntrack-stats.txt", LOST.format(0, 0)),
    ("table half full", "sysctl.txt",
     "net.netfilter.nf_conntrack_count = 65000\nnet.netfilter.nf_conntrack_max = 131072\n"),
    ("a Pod that is there", "conntrack.txt", FLOW.format(110, "", "10.244.0.2")),
    ("another client's", "conntrack.txt",
     FLOW.format(110, "", "10.244.0.77").replace("10.244.0.9", "10.244.0.8")),
)  # fmt: skip


def dns_path(folder: Path, file: str, text: str) -> list[dict[str, object]]:
    """The rows of the link dns-path, with one file of worker-1."""
    path = folder / "node" / "worker-1" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    _, report = explained(folder, ASKED)
    return [row for row in report["links"] if row["link"] == "dns-path"]


@pytest.mark.parametrize(("title", "file", "text", "state", "code", "says"), CASES, ids=[row[0] for row in CASES])
def test_what_is_lost_is_told(
    title: str, file: str, text: str, state: str, code: str, says: str, tmp_path: Path
) -> None:  # fmt: skip
    """With the line of the file as evidence."""
    found = [row for row in dns_path(tmp_path, file, text) if row["code"] == code]
    assert [row["state"] for row in found] == [state]
    assert says in str(found[0]["says"])
    assert f"node/worker-1/{file}" in str(found[0]["evidence"])


@pytest.mark.parametrize(("title", "file", "text"), WELL, ids=[row[0] for row in WELL])
def test_what_is_well_is_no_fault(title: str, file: str, text: str, tmp_path: Path) -> None:
    """Neither fault nor warning."""
    assert [row for row in dns_path(tmp_path, file, text) if row["code"] in ("E18", "E19")] == []
