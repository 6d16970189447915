"""From whatever the kernel has to what is wanted: with a kernel of dicts."""

import errno
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.errors import KernelError
from kdns.base.objects import Network
from kdns.proxy.apply.ipvs_state import IpvsState, Link
from kdns.proxy.apply.ipvs_virtual import Real
from kdns.proxy.model import (
    Backend,
    Entry,
    Family,
    Frontend,
    NodeRules,
    Path,
    Protocol,
    ServicePortName,
    ServicePortRules,
)
from kdns.proxy.render.ipvs.desired import Desired, Touched
from kdns.proxy.render.ipvs.virtual_servers import Here, Member, SetType, Virtual, VirtualAt, port_state

NODE = NodeRules(Family.IPV4)
HERE = Here(frozenset(), ())
EXCLUDED = Network(bytes((192, 0, 2, 0)), 24)


class Virtuals:
    """Virtual servers with weights of real ones; the busy have a connection, the bad are refused."""

    def __init__(self) -> None:
        self.all: dict[VirtualAt, Virtual] = {}
        self.weights: dict[VirtualAt, dict[Backend, int]] = {}
        self.busy: set[Backend] = set()
        self.bad: set[VirtualAt] = set()

    def virtuals(self) -> dict[VirtualAt, Virtual]:
        return dict(self.all)

    def reals(self, at: VirtualAt) -> list[Real]:
        return [Real(b, weight, int(b in self.busy)) for b, weight in self.weights[at].items()]

    def error(self, code: int, doing: str, refused: object = None) -> KernelError:
        return KernelError(("netlink", "IPVS"), code, doing, refused)

    def add(self, items: Sequence[tuple[VirtualAt, Virtual]]) -> list[int]:
        for at, virtual in items:
            if at not in self.bad:
                self.all[at] = virtual._replace(backends=())
                self.weights.setdefault(at, {})
        return [errno.EINVAL if at in self.bad else 0 for at, _ in items]

    change = add

    def remove(self, items: Sequence[VirtualAt]) -> list[int]:
        for at in items:
            del self.all[at], self.weights[at]
        return [0] * len(items)

    def add_reals(self, items: Sequence[tuple[VirtualAt, Backend]]) -> list[int]:
        return self.weigh(items, 1)

    def weigh(self, items: Sequence[tuple[VirtualAt, Backend]], weight: int) -> list[int]:
        for at, backend in items:
            self.weights[at][backend] = weight
        return [0] * len(items)

    def remove_reals(self, items: Sequence[tuple[VirtualAt, Backend]]) -> list[int]:
        for at, backend in items:
            del self.weights[at][backend]
        return [0] * len(items)


class Sets:
    """Members with marks, by set."""

    def __init__(self) -> None:
        self.all: dict[tuple[str, Member], int] = {}

    def members(self, name: str, kind: SetType) -> dict[Member, int]:
        return {member: mark for (of, member), mark in self.all.items() if of == name}

    def add(self, items: Iterable[tuple[tuple[str, Member], int]]) -> list[int]:
        added = list(items)
        self.all.update(added)
        return [0] * len(added)

    def remove(self, items: Iterable[tuple[str, Member]]) -> None:
        for key in items:
            del self.all[key]


class Addresses:
    """Those of the dummy link."""

    def __init__(self) -> None:
        self.all: set[bytes] = set()

    def addresses(self) -> tuple[frozenset[bytes], frozenset[bytes]]:
        return frozenset(self.all), frozenset()

    def add(self, addresses: Sequence[bytes]) -> list[int]:
        self.all.update(addresses)
        return [0] * len(addresses)

    def remove(self, addresses: Iterable[bytes]) -> None:
        self.all.difference_update(addresses)


class Kernel:
    """All three, and what was asked of them as one value."""

    def __init__(self) -> None:
        self.virtuals, self.sets, self.addresses = Virtuals(), Sets(), Addresses()
        self.link = cast(Link, self)

    def content(self) -> object:
        """What traffic meets."""
        weights = {at: {b for b, weight in reals.items() if weight} for at, reals in self.virtuals.weights.items()}
        return dict(self.virtuals.all), weights, dict(self.sets.all), set(self.addresses.all)


def packed(text: str) -> bytes:
    return ip_address(text).packed


def port(name: str, backends: Iterable[int], protocol: Protocol = "TCP", affinity: int = 0) -> ServicePortRules:
    """A Service whose address is told by its name."""
    entry = Entry(Frontend("cluster IP", bytes((10, 96, 0, ord(name))), 80), (Path("any", "cluster", "never"),))
    cluster = tuple(Backend(bytes((10, 244, 0, n)), 80) for n in sorted(backends))
    return ServicePortRules(ServicePortName("shop", name, "", protocol), (entry,), cluster, affinity=affinity)


Ports = dict[str, ServicePortRules]
BACKENDS = st.sets(st.integers(1, 4))
PORT = st.builds(lambda b, a: (b, a), BACKENDS, st.sampled_from([0, 60]))


def ports(found: dict[str, tuple[set[int], int]]) -> Ports:
    return {name: port(name, backends, affinity=affinity) for name, (backends, affinity) in found.items()}


PORTS = st.dictionaries(st.sampled_from("abcd"), PORT).map(ports)


def summed(wanted: Ports) -> Desired:
    desired = Desired()
    for one in wanted.values():
        desired.replace(one.name, port_state(one, NODE, HERE, "rr", 0), Touched(set(), set(), set()))
    return desired


def write(state: IpvsState, kernel: Kernel, desired: Desired, touched: Touched) -> int:
    written = state.add_members(kernel.link, desired, touched)
    written += state.serve(kernel.link, desired, touched)
    return written + state.shrink(kernel.link, desired, touched)


def full(kernel: Kernel, wanted: Ports, exclude: tuple[Network, ...] = ()) -> tuple[IpvsState, int]:
    """What a proxier does that has just started."""
    state, desired = IpvsState(Family.IPV4, exclude, NODE.masquerade_mark), summed(wanted)
    state.read(kernel.link)
    return state, write(state, kernel, desired, state.everything(desired))


@given(PORTS, PORTS)
def test_from_any_state_to_what_is_wanted(before: Ports, after: Ports) -> None:
    """Whatever was there, afterwards it is as if nothing had been; and then nothing is left to write."""
    kernel, fresh = Kernel(), Kernel()
    full(kernel, before)
    full(kernel, after)
    full(fresh, after)
    assert kernel.content() == fresh.content()
    assert full(kernel, after)[1] == 0


@given(PORTS, st.lists(st.tuples(st.sampled_from("abcd"), st.none() | PORT), max_size=8))
def test_changes_come_to_the_same(start: Ports, steps: list[tuple[str, tuple[set[int], int] | None]]) -> None:
    """Single changes leave the kernel as a full sync would, and the state counts what is there."""
    kernel, fresh, now = Kernel(), Kernel(), dict(start)
    state, _ = full(kernel, now)
    desired = summed(now)
    for name, step in steps:
        touched = Touched(set(), set(), set())
        if step is None:
            now.pop(name, None)
            desired.replace(port(name, ()).name, None, touched)
        else:
            now[name] = port(name, step[0], affinity=step[1])
            desired.replace(now[name].name, port_state(now[name], NODE, HERE, "rr", 0), touched)
        write(state, kernel, desired, touched)
    full(fresh, now)
    assert kernel.content() == fresh.content()
    assert state.reals == sum(len(one.cluster) for one in now.values())


def test_a_drained_backend_goes_with_its_last_connection() -> None:
    """Weight 0 while it is busy; a full sync by a new proxier knows that it is draining."""
    kernel = Kernel()
    busy = Backend(packed("10.244.0.1"), 80)
    kernel.virtuals.busy.add(busy)
    full(kernel, {"a": port("a", (1, 2))})
    full(kernel, {"a": port("a", (2,))})
    at = VirtualAt("TCP", bytes((10, 96, 0, ord("a"))), 80)
    assert kernel.virtuals.weights[at] == {busy: 0, Backend(packed("10.244.0.2"), 80): 1}
    state, written = full(kernel, {"a": port("a", (2,))})
    assert written == 0
    assert state.tidy(kernel.link) == 1
    kernel.virtuals.busy.clear()
    assert state.tidy(kernel.link) == 0
    assert kernel.virtuals.weights[at] == {Backend(packed("10.244.0.2"), 80): 1}


@pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
def test_only_tcp_waits(protocol: Protocol) -> None:
    """A datagram's sender has no connection to end: the backend goes at once."""
    kernel = Kernel()
    full(kernel, {"a": port("a", (1, 2), protocol)})
    full(kernel, {"a": port("a", (2,), protocol)})
    at = VirtualAt(protocol, bytes((10, 96, 0, ord("a"))), 80)
    assert list(kernel.virtuals.weights[at]) == [Backend(packed("10.244.0.2"), 80)]


def test_what_is_excluded_or_listens_to_a_strange_mark_stays() -> None:
    """Virtual servers of others are left alone; of those without an excuse none stays."""
    kernel = Kernel()
    stays = [VirtualAt("TCP", packed("192.0.2.9"), 80), VirtualAt("TCP", mark=7)]
    goes = [VirtualAt("TCP", packed("198.51.100.9"), 80), VirtualAt("TCP", mark=0x4B000007)]
    kernel.virtuals.add([(at, Virtual("wlc", 0, 0, ())) for at in (*stays, *goes)])
    full(kernel, {}, (EXCLUDED,))
    assert list(kernel.virtuals.all) == stays


def test_a_refusal_names_the_service_port() -> None:
    """The proxier can leave out the one at fault."""
    kernel = Kernel()
    kernel.virtuals.bad.add(VirtualAt("TCP", bytes((10, 96, 0, ord("b"))), 80))
    with pytest.raises(KernelError) as caught:
        full(kernel, {name: port(name, (1,)) for name in "abc"})
    assert caught.value.refused == ServicePortName("shop", "b", "", "TCP")
