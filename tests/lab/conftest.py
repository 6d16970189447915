"""A lab's ground for the tests of this folder."""

import os
from collections.abc import Iterator

import pytest

from kdns.lab.network import Network
from kdns.lab.plan import PLAN, Plan

PODS = tuple(
    PLAN.pod(name, address) for name, address in (("a", "10.244.0.5"), ("b", "10.244.0.6"), ("c", "10.244.1.5"))
)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Two nodes, Pods ``a`` and ``b`` on node-0 and ``c`` on node-1, which answer on 9376."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    with Network(Plan(pods=PODS)) as made:
        for pod in PODS:
            made.serve(pod.name)
        yield made
