"""Whose address is this: Pods that come, go, move and share."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.objects import Pod
from kdns.records.clients import Client, ClientIndex, Unidentified
from kdns.wire.name import label
from tests.build import key, packed

WEB = Pod(key("Pod", "shop/web"), "10.244.0.5", (("app", "web"),), "node-1")
LATER = Pod(key("Pod", "shop/later"), "10.244.0.5", (), "node-2")
OTHER = Pod(key("Pod", "infra/other"), "10.244.0.5", (), "node-2")
SIX = Pod(key("Pod", "shop/six"), "FD00:0::5", (), "node-1")
PENDING = Pod(key("Pod", "shop/pending"), "")
PROXY = Pod(key("Pod", "kube-system/proxy"), "172.18.0.2", (), "node-1", host_network=True)
AGENT = Pod(key("Pod", "infra/agent"), "172.18.0.2", (), "node-1", host_network=True)


def index(*pods: Pod) -> ClientIndex:
    """These Pods, in the order in which they came."""
    made = ClientIndex()
    for pod in pods:
        made.update(None, pod)
    return made


@pytest.mark.parametrize(
    ("pods", "address", "client", "namespace"),
    [
        ((WEB,), "10.244.0.5", Client(WEB.key, WEB.labels, "node-1"), "shop"),
        ((SIX,), "fd00::5", Client(SIX.key, (), "node-1"), "shop"),
        ((WEB,), "10.244.0.6", Unidentified.UNKNOWN, Unidentified.UNKNOWN),
        ((PENDING,), "10.244.0.5", Unidentified.UNKNOWN, Unidentified.UNKNOWN),
        ((WEB, LATER), "10.244.0.5", Unidentified.SHARED, "shop"),
        ((WEB, OTHER), "10.244.0.5", Unidentified.SHARED, Unidentified.SHARED),
        ((PROXY,), "172.18.0.2", Unidentified.HOST_NETWORK, "kube-system"),
        ((PROXY, AGENT), "172.18.0.2", Unidentified.HOST_NETWORK, Unidentified.HOST_NETWORK),
    ],
)
def test_whose_address(
    pods: Sequence[Pod], address: str, client: Client | Unidentified, namespace: str | Unidentified
) -> None:
    """One Pod is a client; a node's own address is not a Pod's, and several Pods are not one."""
    for order in (pods, pods[::-1]):
        clients = index(*order)
        assert clients.lookup(packed(address)) == client
        assert clients.pod(packed(address)) == (pods[0] if isinstance(client, Client) else None)
        assert clients.namespace(packed(address)) == (label(namespace) if isinstance(namespace, str) else namespace)


def test_a_pod_that_moves_takes_its_name_along() -> None:
    """The old address is forgotten at once, also while a newer Pod has it; labels are as they are now."""
    clients = index(WEB, LATER)
    moved = Pod(WEB.key, "10.244.0.9", (("app", "api"),), "node-1")
    clients.update(WEB, moved)
    assert clients.lookup(packed("10.244.0.9")) == Client(WEB.key, (("app", "api"),), "node-1")
    assert clients.lookup(packed("10.244.0.5")) == Client(LATER.key, (), "node-2")
    clients.update(LATER, None)
    assert clients.lookup(packed("10.244.0.5")) is Unidentified.UNKNOWN


STATES = st.lists(st.sampled_from((WEB, LATER, OTHER, SIX, PENDING, PROXY, AGENT)), max_size=12)


@given(STATES, st.randoms(use_true_random=False))
def test_nothing_is_left_of_pods_that_are_gone(pods: list[Pod], order: random.Random) -> None:
    """Any Pods that come, in any order, and go, in any order, leave an empty index."""
    clients, known = ClientIndex(), dict[object, Pod]()
    for pod in pods:
        clients.update(known.get(pod.key), pod)
        known[pod.key] = pod
    left = list(known.values())
    order.shuffle(left)
    for pod in left:
        clients.update(pod, None)
    assert len(clients) == 0
