"""The walk-through of the lab as a test: `kdns lab run`, step by step, in each mode."""

import os
from collections.abc import Iterator

import pytest

from kdns.lab.cluster import Cluster
from kdns.lab.standard import UPSTREAM, objects, proxy, start_upstream
from kdns.lab.steps import STEPS
from kdns.lab.tools import PROGRAMS
from kdns.lab.walk import Walk

pytestmark = [pytest.mark.kernel, pytest.mark.e2e, pytest.mark.timeout(240)]

UNHURRIED = 120.0
"""Seconds until the cluster must be ready: Python starts slowly on a busy machine."""


@pytest.fixture(scope="module", params=["nftables", "iptables"])
def lab(request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, str]]:
    """The standard cluster with proxies in one mode."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    mode = request.param
    with Cluster([*objects(), proxy(mode)], upstream=[UPSTREAM], programs=PROGRAMS[mode]) as cluster:
        start_upstream(cluster)
        cluster.wait_until_ready(UNHURRIED)
        yield cluster, mode


@pytest.mark.parametrize("step", STEPS)
def test_the_walk(lab: tuple[Cluster, str], step: str) -> None:
    """Every check of a step holds."""
    cluster, mode = lab
    told: list[str] = []
    walk = Walk(cluster, mode, told.append)
    STEPS[step](walk)
    assert walk.failed == [], "\n".join(told)
    assert walk.passed > 0
