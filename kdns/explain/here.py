"""This machine's own kernel as evidence, where it is a node of the cluster and we may read it. The edge."""

import os

from kdns.explain.bundle import text_file
from kdns.explain.collect import this_node
from kdns.explain.evidence import Evidence
from kdns.explain.node_files import collect_node
from kdns.explain.objects import Objects, field
from kdns.explain.target import addresses_of


async def add_this_node(evidence: Evidence, objects: Objects) -> str:
    """Read the kernel of the Node that this machine is; its name, empty where it is none, or root is needed."""
    nodes = [dict(body) for body in objects.all("Node")]
    name = this_node(nodes)
    known = any(field(body, "metadata.name") == name for body in nodes)
    if not known or os.geteuid() != 0:
        return ""
    addresses = {address for body in objects.all("Service") for address in addresses_of(body)}
    for raw in await collect_node(name, addresses):
        evidence.nodes.setdefault(name, {})[raw.path.rpartition("/")[2]] = text_file(raw)
    return name
