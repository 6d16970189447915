"""How long the first packet of a connection takes, against the number of Services: SYN to SYN-ACK, two nodes apart.

``python -m bench.first_packet MODE SERVICES CONNECTIONS`` prints a JSON list: seconds, sorted. A pod on one node asks a
pod on the other through cluster IPs of randomly chosen Services; all Services have that one backend.
"""

import asyncio
import json
import random
import socket
import sys
import time

from bench.path_worker import applier_of, cluster_ip, view
from kdns.base.objects import address_text
from kdns.lab.namespaces import inside
from kdns.lab.network import Network
from kdns.lab.plan import PLAN, Plan
from kdns.proxy.model import Family, NodeRules
from kdns.proxy.rules import Policy, rule_set, service_rules

CLIENT, SERVER = PLAN.pod("client", "10.244.0.5"), PLAN.pod("server", "10.244.1.5")
BACKEND = bytes((10, 244, 1, 5))


async def write(mode: str, services: int) -> None:
    """The rules of so many Services into the kernel of the namespace that this thread is in."""
    policy = Policy(NodeRules(Family.IPV4), "node-0")
    rules = [one for n in range(services) for one in service_rules(view(n, [BACKEND]), policy).ports]
    applier = await applier_of(mode)
    await applier.sync(rule_set(rules, policy.node), None)


def connect(address: str) -> float:
    """Seconds until a connection is established."""
    with socket.socket() as sock:
        began = time.perf_counter()
        sock.connect((address, 80))
        return time.perf_counter() - began


def measure(mode: str, services: int, connections: int) -> list[float]:
    """Sorted seconds."""
    with Network(Plan(pods=(CLIENT, SERVER))) as network:
        network.serve("server")
        with inside(network.parts["node-0"].network):
            asyncio.run(write(mode, services))
        chance = random.Random(1)
        with inside(network.parts["client"].network):
            addresses = [address_text(cluster_ip(chance.randrange(services))) for _ in range(connections + 20)]
            times = [connect(address) for address in addresses]
    return sorted(times[20:])


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    print(json.dumps(measure(name, *map(int, numbers))))
