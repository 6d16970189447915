"""`kdns explain` in a lab, on the real kernel: no false alarm while it is healthy, and the cause when it is broken."""

import pytest

from kdns.lab.kind import Kind
from kdns.lab.standard import make_cluster, wait_until_ready
from kdns.lab.steps_explain import asked, explain
from kdns.lab.walk import Walk

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]
TARGETS = (
    "hostnames", "hostnames.default.svc:80", "cart.shop.svc:80", "kubernetes.default", "default-subdomain",
    "10.96.80.80:80", "my-service", "www.example.com",
)  # fmt: skip


@pytest.mark.parametrize("mode", ["nftables"])
def test_a_healthy_lab_has_no_fault_and_each_cause_is_found(mode: str) -> None:
    """Nothing is wrong with any name or address; then ten breaks each have their code, and are mended."""
    kind = Kind(mode)
    told: list[str] = []
    with make_cluster(kind) as cluster:
        wait_until_ready(cluster, kind, 60)
        walk = Walk(cluster, kind, told.append)
        for target in TARGETS:  # a Pod that has just become ready is in the rules a moment later
            walk.eventually(
                f"{target} is well",
                lambda target=target: asked(walk, target),  # type: ignore[misc]
                lambda found: str(found) == "ok",
            )
        explain(walk)
    assert walk.failed == []
    assert walk.passed == len(TARGETS) + 11
