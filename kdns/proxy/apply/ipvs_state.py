"""What the kernel has of the IPVS mode, and how it comes to what is wanted. Waits for the kernel; for a thread.

The kernel is read once, at a full sync; then what was written is remembered, so that a change costs what it changes.
In the order in which nothing is missing when it is needed: members of sets, virtual servers, addresses; what goes
leaves in the opposite order.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple, TypeVar

from kdns.base.errors import KernelError
from kdns.base.objects import Network
from kdns.kernel.dummy_link import DummyLink
from kdns.proxy.apply.applier import AF
from kdns.proxy.apply.ipset import SetKernel
from kdns.proxy.apply.ipvs_virtual import VirtualKernel
from kdns.proxy.model import Backend, Family, ServicePortName
from kdns.proxy.render.ipvs.desired import Desired, Touched
from kdns.proxy.render.ipvs.virtual_servers import (
    DUMMY,
    MARK_MASK,
    MARK_PREFIX,
    SETS,
    Member,
    Virtual,
    VirtualAt,
    set_name,
)

K = TypeVar("K", VirtualAt, bytes, tuple[str, Member])

SAMPLE = 16
"""Virtual servers whose real servers are looked at for `differs`."""


class Link(NamedTuple):
    """The three ways to the kernel."""

    virtuals: VirtualKernel
    sets: SetKernel
    addresses: DummyLink

    def close(self) -> None:
        """Give all sockets back."""
        self.virtuals.close()
        self.sets.close()
        self.addresses.close()


class IpvsState:
    """One family's virtual servers, sets and addresses, as far as they are known."""

    def __init__(self, family: Family, exclude: Sequence[Network], masquerade_mark: int) -> None:
        self.family, self._exclude = family, exclude
        self._prefix = MARK_PREFIX & ~masquerade_mark
        self._mask = MARK_MASK & ~masquerade_mark
        self.virtuals: dict[VirtualAt, Virtual] = {}
        self.members: dict[tuple[str, Member], int] = {}
        self.addresses: set[bytes] = set()
        self.draining: set[tuple[VirtualAt, Backend]] = set()
        """Real servers with weight 0 that go when their last connection has gone."""
        self.reals = 0
        """Real servers in service."""
        self._turn = 0

    def open(self, number: int) -> "closing[Link]":
        """Sockets for one go, closed at its end."""
        return closing(
            Link(VirtualKernel(self.family, number), SetKernel(self.family), DummyLink(AF[self.family], DUMMY))
        )

    def make(self, link: Link) -> None:
        """The dummy link and the sets, unless they are there."""
        if not link.addresses.create():
            raise KernelError(("netlink", "addresses"), 95, "the kernel has no dummy links (module dummy)")
        for name, kind in SETS.items():
            link.sets.create(name, kind)

    def read(self, link: Link) -> None:
        """Learn what the kernel has."""
        self.members = {
            (name, member): mark
            for name, kind in SETS.items()
            for member, mark in (link.sets.members(name, kind) or {}).items()
        }
        ours, _ = link.addresses.addresses()
        self.addresses = set(ours)
        self.virtuals, self.draining, self.reals = {}, set(), 0
        for at, virtual in link.virtuals.virtuals().items():
            if self._foreign(at):
                continue
            reals = link.virtuals.reals(at)
            self.virtuals[at] = virtual._replace(backends=tuple(real.backend for real in reals if real.weight))
            self.reals += len(self.virtuals[at].backends)
            self.draining.update((at, real.backend) for real in reals if not real.weight)

    def everything(self, desired: Desired) -> Touched:
        """All that is there or wanted."""
        return Touched(
            {*self.virtuals, *desired.virtuals},
            {*self.addresses, *desired.addresses},
            {*self.members, *desired.members},
        )

    def add_members(self, link: Link, desired: Desired, touched: Touched) -> int:
        """What comes into sets; how many were written."""
        wanted = ((key, desired.members.get(key)) for key in touched.members)
        items = [(key, mark) for key, mark in wanted if mark is not None and self.members.get(key) != mark]
        codes = link.sets.add(items)
        _check(codes, [key for key, _ in items], desired.members.owner, "add a member to a set", link)
        self.members.update(items)
        return len(items)

    def serve(self, link: Link, desired: Desired, touched: Touched) -> int:
        """Virtual servers and their real servers, and the addresses that come."""
        new: list[tuple[VirtualAt, Virtual]] = []
        changed: list[tuple[VirtualAt, Virtual]] = []
        coming: list[tuple[VirtualAt, Backend]] = []
        going: list[tuple[VirtualAt, Backend]] = []
        for at in touched.virtuals:
            want, have = desired.virtuals.get(at), self.virtuals.get(at)
            if want is None or want == have:
                continue
            if have is None:
                new.append((at, want))
            elif have._replace(backends=()) != want._replace(backends=()):
                changed.append((at, want))
            before = frozenset(have.backends) if have else frozenset()
            coming += [(at, backend) for backend in want.backends if backend not in before]
            going += [(at, backend) for backend in before.difference(want.backends)]
        virtuals = link.virtuals
        owner = desired.virtuals.owner
        _check(virtuals.add(new), [at for at, _ in new], owner, "add a virtual server", link)
        _check(virtuals.change(changed), [at for at, _ in changed], owner, "change a virtual server", link)
        _check(virtuals.add_reals(coming), [at for at, _ in coming], owner, "add a real server", link)
        self.draining.difference_update(coming)
        self._drain(link, desired, going)
        for at in touched.virtuals:
            if (want := desired.virtuals.get(at)) is not None:
                self.virtuals[at] = want
        self.reals += len(coming) - len(going)
        addresses = [a for a in touched.addresses if a in desired.addresses and a not in self.addresses]
        _check(link.addresses.add(addresses), addresses, desired.addresses.owner, f"add an address to {DUMMY}", link)
        self.addresses.update(addresses)
        return len(new) + len(changed) + len(coming) + len(going) + len(addresses)

    def shrink(self, link: Link, desired: Desired, touched: Touched) -> int:
        """What is not wanted any more: addresses, virtual servers, members."""
        addresses = [a for a in touched.addresses if a in self.addresses and a not in desired.addresses]
        gone = [a for a in addresses if not self._excluded(a)]
        link.addresses.remove(gone)
        self.addresses.difference_update(addresses)
        virtuals = [at for at in touched.virtuals if at in self.virtuals and at not in desired.virtuals]
        dropped = [at for at in virtuals if not self._excluded(at.address)]
        _check(link.virtuals.remove(dropped), dropped, desired.virtuals.owner, "remove a virtual server", link)
        for at in virtuals:
            self.reals -= len(self.virtuals.pop(at).backends)
        if virtuals:
            self.draining = {(at, backend) for at, backend in self.draining if at in self.virtuals}
        members = [key for key in touched.members if key in self.members and key not in desired.members]
        link.sets.remove(members)
        for key in members:
            del self.members[key]
        return len(gone) + len(dropped) + len(members)

    def tidy(self, link: Link) -> int:
        """Remove real servers whose last connection has gone; how many still wait."""
        waiting: dict[VirtualAt, list[Backend]] = {}
        for at, backend in self.draining:
            waiting.setdefault(at, []).append(backend)
        idle = []
        for at, backends in waiting.items():
            busy = {real.backend for real in link.virtuals.reals(at) if real.connections}
            idle += [(at, backend) for backend in backends if backend not in busy]
        for code in link.virtuals.remove_reals(idle):
            if code:
                raise link.virtuals.error(code, "remove a real server")
        self.draining.difference_update(idle)
        return len(self.draining)

    def differs(self, link: Link) -> str:
        """What was modified externally, or nothing. Real servers are sampled, another part each time."""
        ours, _ = link.addresses.addresses()
        if self.addresses - ours:
            return f"{len(self.addresses - ours)} addresses are not on {DUMMY}"
        there = link.virtuals.virtuals()
        for at, virtual in self.virtuals.items():
            if there.get(at) != virtual._replace(backends=()):
                return f"the virtual server {at} is not as it was"
        for at in self._sample():
            if {real.backend for real in link.virtuals.reals(at) if real.weight} != set(self.virtuals[at].backends):
                return f"the real servers of {at} are not as they were"
        sizes = link.sets.sizes()
        counts = dict.fromkeys(SETS, 0)
        for name, _ in self.members:
            counts[name] += 1
        for name, count in counts.items():
            if sizes.get(set_name(name, self.family)) != count:
                return f"the set {set_name(name, self.family)} is not as it was"
        return ""

    def _sample(self) -> Iterator[VirtualAt]:
        known = list(self.virtuals)
        if len(known) <= SAMPLE:
            yield from known
            return
        for number in range(SAMPLE):
            yield known[(self._turn + number) % len(known)]
        self._turn += SAMPLE

    def _drain(self, link: Link, desired: Desired, going: Sequence[tuple[VirtualAt, Backend]]) -> None:
        """TCP connections may end; a UDP or SCTP client has to go elsewhere at once."""
        graceful: list[tuple[VirtualAt, Backend]] = []
        at_once: list[tuple[VirtualAt, Backend]] = []
        for item in going:
            owner = desired.virtuals.owner(item[0])
            (graceful if owner is not None and owner.protocol == "TCP" else at_once).append(item)
        places = [at for at, _ in graceful]
        _check(link.virtuals.weigh(graceful, 0), places, desired.virtuals.owner, "drain a real server", link)
        self.draining.update(graceful)
        places = [at for at, _ in at_once]
        _check(link.virtuals.remove_reals(at_once), places, desired.virtuals.owner, "remove a real server", link)

    def clean(self, link: Link, names: Sequence[str]) -> None:
        """Remove virtual servers, the dummy link with its addresses, and sets of these names."""
        ours = [at for at in link.virtuals.virtuals() if not self._foreign(at) and not self._excluded(at.address)]
        for code in link.virtuals.remove(ours):
            if code:
                raise link.virtuals.error(code, "remove a virtual server")
        link.addresses.remove_link()
        link.sets.destroy(names)

    def _foreign(self, at: VirtualAt) -> bool:
        """It listens to a mark that is not one of ours."""
        return at.mark != 0 and at.mark & self._mask != self._prefix

    def _excluded(self, address: bytes) -> bool:
        return any(address in network for network in self._exclude)


def _check(
    codes: Sequence[int], keys: Sequence[K], owner: Callable[[K], ServicePortName | None], doing: str, link: Link
) -> None:
    for code, key in zip(codes, keys, strict=True):
        if code:
            refused = owner(key)
            raise link.virtuals.error(code, f"{doing} ({refused})", refused)
