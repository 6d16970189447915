"""The same tests in IPVS mode, in a kernel that has it: pytest runs them inside User-Mode Linux."""

import pytest

from tests import uml
from tests.proxy.flows.modes import ASKED

pytestmark = [pytest.mark.kernel, uml.needs_uml, pytest.mark.timeout(1500)]

MODULES = f"{uml.IPVS_MODULES} xt_addrtype xt_statistic xt_recent sctp"


@pytest.mark.parametrize("module", ["test_proxying", "test_flows"])
def test_inside_a_kernel_with_ipvs(module: str) -> None:
    """Every test of the module holds in IPVS mode, too."""
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=900", f"tests/proxy/flows/{module}.py")
    ran = uml.run(uml.python(*words), timeout=1400, environment={ASKED: "ipvs"}, modules=MODULES)
    assert not ran.status, ran.output
    assert " passed" in ran.output
