"""The fixture of the tests of datagram I/O."""

from collections.abc import AsyncIterator

import pytest

from kdns.dns.transport import mmsg
from tests.dns.socket_responders import has_ipv6
from tests.dns.transport.udp_rig import CASES, Case, Rig
from tests.needs import lacks_kernel


@pytest.fixture(params=CASES, ids=lambda case: f"{case.way}-{case.bind}")
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """A listener for each way of moving datagrams, both families, bound to one address or to all."""
    case: Case = request.param
    if case.family == 2 and not has_ipv6():
        lacks_kernel("IPv6: no ::1")
    if case.way == "mmsg" and not mmsg.available():
        pytest.skip("this libc has no recvmmsg")
    made = Rig(case)
    made.listener.start()
    yield made
    made.close()
