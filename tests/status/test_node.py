"""The pages of `kdns node`, on a real kernel: a change is answered, and in the kernel, and both times are shown."""

import json
import os
import time
from typing import Any

import pytest

from kdns.lab.cluster import Cluster
from kdns.lab.fetching import fetch
from kdns.lab.kind import Kind
from kdns.lab.standard import UPSTREAM, node, start_upstream, wait_until_ready, wanted_objects
from kdns.lab.written import written

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]
PORT = 9180


def test_a_change_is_answered_and_in_the_kernel() -> None:
    """A Service's new port is the newest change, with the seconds until DNS had it and until the rules were written,
    and by then they are in the kernel."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    kind = Kind("nftables", "node")
    began = time.monotonic()
    made = [*wanted_objects(kind), node("nftables", (f"--status=127.0.0.1:{PORT}",))]
    with Cluster(made, upstream=[UPSTREAM], programs=("nft",)) as cluster:
        start_upstream(cluster)
        wait_until_ready(cluster, kind, 120)
        network = cluster.network.parts["node-0"].network

        def newest() -> dict[str, Any]:
            status, text = fetch(network, "127.0.0.1", PORT, "/overview.json")
            assert status == 200
            change: dict[str, Any] = next(iter(json.loads(text)["changes"]), {})
            return change

        ports = [{"name": "default", "port": 8081, "protocol": "TCP", "targetPort": 9376}]
        cluster.patch("Service", "default", "hostnames", {"spec": {"ports": ports}})
        cluster.wait_for(lambda: newest().get("name") == "hostnames" and not newest()["pending"], 60)
        change = newest()
        assert 0 < change["answered"] < change["in_kernel"] < time.monotonic() - began
        assert any("10.96.80.80 . tcp . 8081" in line for line in written(cluster.network, "node-0", kind))
        _, text = fetch(network, "127.0.0.1", PORT, "/")
        assert "in the kernel after" in text
        _, path = fetch(network, "127.0.0.1", PORT, "/services/default/hostnames.json")
        assert json.loads(path)["seen_from"] == "the rules of this node, node-0"
