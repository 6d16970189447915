"""Whose address is this: the Pod behind the address that a question came from.

::

    10.244.1.4  ──> Client(Pod shop/web-6b7, its labels, its node)
    172.18.0.2  ──> HOST_NETWORK: Pods of the node's own network, and whatever else runs on the node, ask from here
    10.244.9.9  ──> SHARED: two Pods have it for a moment, an old one and the one that got its address
    192.0.2.1   ──> UNKNOWN

Addresses are status.podIP of the Pods that are followed; those that have ended have given theirs back.
"""

from enum import Enum
from ipaddress import ip_address
from typing import NamedTuple

from kdns.base.objects import ObjectKey, Pod
from kdns.wire.name import label


class Client(NamedTuple):
    """Who asks."""

    pod: ObjectKey
    labels: tuple[tuple[str, str], ...]
    """Keys and values; kept only when a setting tells of clients."""
    node: str
    """Where it runs; empty before it is scheduled."""


class Unidentified(Enum):
    """Why it is not known who asks."""

    UNKNOWN = "no Pod that is followed has this address"
    HOST_NETWORK = "the address is a node's, which Pods on the host's network share with everything else there"
    SHARED = "several Pods have this address"


class ClientIndex:
    """Pods by their address."""

    def __init__(self) -> None:
        self._pods: dict[bytes, dict[ObjectKey, Pod]] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def update(self, before: Pod | None, after: Pod | None) -> None:
        """Take in what a Pod was and is; an address that is not one is passed over."""
        if before is not None and (address := _packed(before)) in self._pods:
            known = self._pods[address]
            known.pop(before.key, None)
            if not known:
                del self._pods[address]
        if after is not None and (address := _packed(after)):
            self._pods.setdefault(address, {})[after.key] = after

    def lookup(self, address: bytes) -> Client | Unidentified:
        """The Pod that has a packed address."""
        pods = self._pods.get(address)
        if not pods:
            return Unidentified.UNKNOWN
        if len(pods) > 1:
            host_network = any(pod.host_network for pod in pods.values())
            return Unidentified.HOST_NETWORK if host_network else Unidentified.SHARED
        (pod,) = pods.values()
        return Unidentified.HOST_NETWORK if pod.host_network else Client(pod.key, pod.labels, pod.node)

    def pod(self, address: bytes) -> Pod | None:
        """The Pod that has a packed address, if it is one and has it alone: `lookup` at a third of its cost."""
        pods = self._pods.get(address)
        if not pods or len(pods) > 1:
            return None
        (pod,) = pods.values()
        return None if pod.host_network else pod

    def namespace(self, address: bytes) -> bytes | Unidentified:
        """The Namespace, as label, of the Pods that have a packed address: one is enough to know whose search list."""
        pods = self._pods.get(address, {}).values()
        namespaces = {pod.key.namespace for pod in pods}
        if not namespaces:
            return Unidentified.UNKNOWN
        if len(namespaces) > 1:
            return Unidentified.HOST_NETWORK if any(pod.host_network for pod in pods) else Unidentified.SHARED
        try:
            return label(namespaces.pop())
        except ValueError:  # there was a warning when the Namespace came
            return Unidentified.UNKNOWN


def _packed(pod: Pod) -> bytes:
    try:
        return ip_address(pod.address).packed
    except ValueError:
        return b""
