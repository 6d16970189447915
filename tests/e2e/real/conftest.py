"""The cluster in one of its layouts, once for each module that asks for it."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.real.cluster import HERE, REAL, all_ready, apply, eventually, kubectl
from tests.e2e.real.layouts import LAYOUTS, Layout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(900))
            item.add_marker(pytest.mark.not_about_tools)  # the binaries of Kubernetes are not packaged anywhere
            if not REAL:
                reason = "KDNS_REAL names no folder with the binaries and images of a cluster"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module", params=LAYOUTS, ids=lambda layout: layout.name)
def cluster(request: pytest.FixtureRequest) -> Iterator[Layout]:
    """A cluster with kdns in one of its layouts, and some Pods."""
    layout: Layout = request.param
    subprocess.run((HERE / "up.sh", REAL), check=True)
    try:
        eventually(lambda: kubectl("get", "serviceaccount", "default"))
        apply(*layout.objects())
        kubectl("apply", "-f", str(HERE / "apps.yaml"))
        eventually(all_ready)
        yield layout
    finally:
        subprocess.run((HERE / "down.sh", REAL), check=True)
