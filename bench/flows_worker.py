"""Stale UDP flows deleted from a large table, in the network namespace this process is in.

``python -m bench.flows_worker FLOWS STALE`` prints one JSON object. The flows are made by netlink, those that are stale
lead to a Service whose endpoint is gone; the proxy's own thread finds and deletes them.
"""

import json
import sys
import time
from pathlib import Path
from socket import AF_INET, IPPROTO_UDP

from pyroute2.netlink import NETLINK_NETFILTER, NLM_F_CREATE, NLM_F_EXCL
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_CTNETLINK
from pyroute2.netlink.nfnetlink.nfctsocket import IPCTNL_MSG_CT_NEW

from kdns.kernel.netlink import Netlink, attribute, nested
from kdns.ops.process import prepare
from kdns.proxy.apply.flow_cleaner import FlowCleaner
from kdns.proxy.model import Family
from kdns.proxy.stale_flows import StaleFlows

MOST = Path("/proc/sys/net/netfilter/nf_conntrack_max")
BUCKETS = Path("/proc/sys/net/netfilter/nf_conntrack_buckets")
SERVICE, OTHER = bytes((10, 96, 0, 10)), bytes((10, 96, 0, 11))
POD = bytes((10, 244, 0, 5))
LIFE = (3600).to_bytes(4, "big")
"""Seconds until a flow ends by itself."""
AT_ONCE = 10_000
PORTS = 50_000
"""Source ports that a client has."""
TICK = 0.01


def flow(number: int, service: bytes) -> bytes:
    """The message that makes a flow from a client of its own to a Service."""
    client, port = bytes((100, 64)) + (number // PORTS).to_bytes(2, "big"), 1024 + number % PORTS
    return (
        bytes((AF_INET, 0, 0, 0))
        + _tuple(1, client, service, port, 53)
        + _tuple(2, POD, client, 53, port)
        + attribute(7, LIFE)
    )


def _tuple(kind: int, source: bytes, destination: bytes, source_port: int, port: int) -> bytes:
    ports = attribute(2, source_port.to_bytes(2, "big")) + attribute(3, port.to_bytes(2, "big"))
    addresses = nested(1, attribute(1, source), attribute(2, destination))
    return nested(kind, addresses, nested(2, attribute(1, bytes((IPPROTO_UDP,))), ports))


def fill(flows: int, stale: int) -> None:
    """Make them. Raises RuntimeError if the kernel does not take all."""
    if int(MOST.read_text()) < flows + 1000:
        MOST.write_text(str(flows + 1000))
        BUCKETS.write_text(str(flows // 2))  # the kernel refuses flows where a bucket has too many
    with Netlink(NETLINK_NETFILTER, "conntrack") as link:
        for start in range(0, flows, AT_ONCE):
            some = range(start, min(start + AT_ONCE, flows))
            messages = [flow(number, SERVICE if number < stale else OTHER) for number in some]
            kind = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW
            if any(codes := link.ask(kind, NLM_F_CREATE | NLM_F_EXCL, messages)):
                raise RuntimeError(f"no flow made: error {max(codes)}")


def measure(flows: int, stale: int) -> dict[str, float]:
    """Seconds, flows, and the longest moment for which another thread of this process did not run."""
    fill(flows, stale)
    cleaner = FlowCleaner()
    cleaner.start()
    began, spent = time.monotonic(), time.process_time()
    cleaner.submit([StaleFlows(Family.IPV4, SERVICE, 53, frozenset())])
    longest, last = 0.0, began
    while not cleaner.idle(TICK):
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    done = {"seconds": time.monotonic() - began, "cpu": time.process_time() - spent}
    cleaner.close()
    return {**done, "deleted": cleaner.deleted, "failures": cleaner.failures, "stall": longest}


if __name__ == "__main__":
    prepare()  # as every process of kdns
    print(json.dumps(measure(*map(int, sys.argv[1:]))))
