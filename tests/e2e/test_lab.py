"""The walk-through of the lab as a test: `kdns lab run`, step by step, in each mode that this kernel has."""

import os
from collections.abc import Iterator

import pytest

from kdns.lab.cluster import Cluster
from kdns.lab.kind import Kind
from kdns.lab.standard import make_cluster, wait_until_ready
from kdns.lab.steps import STEPS, steps_of
from kdns.lab.walk import Walk

pytestmark = [pytest.mark.kernel, pytest.mark.e2e, pytest.mark.timeout(900)]

UNHURRIED = 400.0
"""Seconds until the cluster must be ready: Python starts slowly on a busy machine."""
Lab = tuple[Cluster, Kind]


@pytest.fixture(scope="module", params=["nftables", "iptables", "iptables-legacy"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The standard cluster with proxies in one mode."""
    yield from made(Kind(request.param))


@pytest.fixture(scope="module")
def lab_of_nodes() -> Iterator[Lab]:
    """The same with `kdns node` on each node."""
    yield from made(Kind("nftables", "node"))


@pytest.fixture(scope="module", params=["nftables", "iptables", "iptables-legacy"])
def lab_of_local_dns(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The same with `kdns node` at the cluster's own DNS address."""
    yield from made(Kind(request.param, "node-local"))


def made(kind: Kind) -> Iterator[Lab]:
    """A lab that is ready."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    with make_cluster(kind) as cluster:
        wait_until_ready(cluster, kind, UNHURRIED)
        yield cluster, kind


@pytest.mark.parametrize("step", STEPS)
def test_the_walk(lab: Lab, step: str) -> None:
    """Every check of a step holds."""
    walk_through(*lab, step)


@pytest.mark.parametrize("step", ["names", "balance"])
def test_the_walk_with_one_process_on_each_node(lab_of_nodes: Lab, step: str) -> None:
    """The same, answered by the node that asks."""
    walk_through(*lab_of_nodes, step)


@pytest.mark.parametrize("step", ["names", "local-dns"])
def test_the_walk_with_local_dns(lab_of_local_dns: Lab, step: str) -> None:
    """Names are answered on the node, and its death loses no more than half a second."""
    walk_through(*lab_of_local_dns, step)


def walk_through(cluster: Cluster, kind: Kind, step: str) -> None:
    """Take a step, and see that every check was made and held."""
    told: list[str] = []
    walk = Walk(cluster, kind, told.append)
    steps_of(kind.layout)[step](walk)
    assert walk.failed == [], "\n".join(told)
    assert walk.passed > 0
