"""``--source cluster`` and ``kubeconfig``: what the question needs of a live cluster, and no more. The edge.

::

    Services, Namespaces, Nodes, ServiceCIDRs           of the whole cluster: the name may be in another Namespace
    slices, Pods, NetworkPolicies, workloads            of the Namespaces of client, target and DNS

Where Services may only be listed in one Namespace, they are.
"""

import asyncio
import re
from collections.abc import Iterator
from typing import Final

from kdns.explain.fetch import (
    CIDR,
    NAMESPACE,
    NODE,
    POD,
    POLICY,
    SERVICE,
    SLICE,
    SYSTEM,
    WORKLOADS,
    Fetched,
    Listed,
    fetch,
    fetch_config_maps,
    open_api,
)
from kdns.explain.model import Question
from kdns.watch.api.client import Api

NAMESPACE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
WIDE = (SERVICE, NAMESPACE, NODE, CIDR)
NARROW = (SLICE, POD, POLICY, *WORKLOADS)


async def read_cluster(source: str, question: Question) -> Fetched:
    """The objects for one question. Raises ConfigError if the source cannot be opened."""
    async with open_api(source) as api:
        return await read_objects(api, question)


async def read_objects(api: Api, question: Question) -> Fetched:
    """The same, from an API server that is open."""
    namespaces = list(dict.fromkeys(_namespaces(question)))
    wanted = [(listed, "") for listed in WIDE]
    wanted += [(listed, namespace) for listed in NARROW for namespace in namespaces]
    maps = Fetched()
    reading = asyncio.ensure_future(fetch_config_maps(api, maps))  # beside the lists
    try:
        fetched = await fetch(api, wanted)
        await reading
    finally:
        reading.cancel()
    _add(fetched, maps)
    if SERVICE.resource.plural in fetched.forbidden:
        _add(fetched, await fetch(api, [(SERVICE, namespace) for namespace in namespaces]))
    elif more := [one for one in _by_address(fetched, question) if one not in namespaces]:
        _add(fetched, await fetch(api, [(listed, namespace) for listed in NARROW for namespace in more]))
    return fetched


def _namespaces(question: Question) -> Iterator[str]:
    """Where client, target and DNS may be."""
    labels = question.target.name.rstrip(".").lower().split(".")
    named = labels[2] if labels[3:4] == ["svc"] else (labels[1] if len(labels) > 1 else "")
    for namespace in (question.namespace, question.client.namespace, named, SYSTEM):
        if NAMESPACE_NAME.fullmatch(namespace):
            yield namespace


def _by_address(fetched: Fetched, question: Question) -> list[str]:
    """The Namespaces of the Services that have the address or the node port that was asked for, or the short name."""
    target, namespaces = question.target, []
    for body in fetched.bodies("Service"):
        spec, metadata = body.get("spec") or {}, body.get("metadata") or {}
        ingress = ((body.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        addresses = {
            spec.get("clusterIP"), *(spec.get("clusterIPs") or ()), *(spec.get("externalIPs") or ()),
            *(entry.get("ip") for entry in ingress),
        }  # fmt: skip
        node_ports = {port.get("nodePort") for port in spec.get("ports") or ()}
        by_address = target.address and (target.address in addresses or target.port in node_ports)
        if by_address or (target.name and "." not in target.name and metadata.get("name") == target.name):
            namespaces.append(str(metadata.get("namespace") or ""))
    return list(dict.fromkeys(namespaces))


def _add(fetched: Fetched, more: Fetched) -> None:
    fetched.raws += more.raws
    fetched.forbidden += more.forbidden
    fetched.problems += more.problems


def kinds() -> tuple[Listed, ...]:
    """Every kind that a question may list, for the RBAC rules that it needs."""
    return (*WIDE, *NARROW)
