"""The table ``kube-proxy`` in the kernel: elements by netlink, all else by the program nft.

A piece of commands that concerns elements alone, as almost every change does, is one transaction and starts no program.
Where it concerns chains, too, there are three: chains are made before what leads to them, and emptied after it.
"""

import asyncio
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import EBUSY, EEXIST, EINTR, ENOENT
from socket import AddressFamily
from typing import Final, NamedTuple

from kdns.base.errors import KernelError
from kdns.kernel.nft_elements import key_of
from kdns.kernel.nftables import Message, Nftables
from kdns.kernel.run import Runner
from kdns.proxy.apply.applier import AF
from kdns.proxy.model import Family, ServicePortName
from kdns.proxy.render.nftables import fixed
from kdns.proxy.render.nftables.command import Chain, Command, Elements, Verb
from kdns.proxy.render.nftables.elements import ElementsOf
from kdns.proxy.render.nftables.lines import script_text
from kdns.proxy.render.nftables.text import word

Connect = Callable[[AddressFamily], Nftables]
"""Opens a netlink socket."""

READS: Final = 5
"""How often the elements are listed if others change rules meanwhile."""

_PLACE: Final = re.compile(r":(\d+):\d+(?:-\d+)?: Error")
_OTHERS: Final = ("No such file or directory", "File exists", "Device or resource busy")
"""What nft says where the table is not as we left it."""
_OTHERS_CODES: Final = frozenset((ENOENT, EEXIST, EBUSY))
"""What the kernel says there."""
_CHAIN: Final = re.compile(r"\tchain (\S+) \{")
_SET: Final = re.compile(r"\t(?:set|map) (\S+) \{")


class Listing:
    """The table without elements, as nft lists it."""

    def __init__(self, body: str) -> None:
        self.chains: dict[str, tuple[str, ...]] = dict(_chains(body))
        self.sets = frozenset(_SET.findall(body))


class Parts(NamedTuple):
    """A piece of commands in the order in which they must be done."""

    before: list[Command]
    """Chains, their rules, and sets."""
    elements: list[Command]
    after: list[Command]
    """Chains that are emptied, and sets that are deleted, once nothing leads to them."""


class KernelTable:
    """What is done to the table of one family, and what is in it."""

    def __init__(self, family: Family, runner: Runner, connect: Connect) -> None:
        self.name = f"{word(family)} {fixed.TABLE}"
        self._family, self._run, self._connect = family, runner, connect
        self._opened: Nftables | None = None
        self._listener: Nftables | None = None
        self._deaf = 0
        self.altered = False
        """Another process has changed the table since this was set to False."""
        self.unsure = True
        """Perhaps one has: no one listened. Set it to False after a look."""

    @property
    def listening(self) -> bool:
        """The kernel tells what other processes do."""
        return self._listener is not None and not self._deaf

    async def watch(self, altered: Callable[[], None]) -> None:
        """Run for ever; call `altered` when another process changes the table. Raises OSError."""
        with self._connect(AF[self._family]) as listener:

            def hear() -> None:
                own = self._opened.port if self._opened is not None else 0
                if listener.others_changed(fixed.TABLE, own):
                    self.altered = True
                    altered()

            if not self._deaf:  # or `unheard` begins to listen at its end
                listener.listen()
            loop = asyncio.get_running_loop()
            loop.add_reader(listener.fileno(), hear)
            self._listener = listener
            try:
                await asyncio.Event().wait()
            finally:
                self._listener, self.unsure = None, True
                loop.remove_reader(listener.fileno())

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """What is done in here is not listened to: it is done by nft, or so much that listening would cost more.

        What others do meanwhile is for the next look to find.
        """
        self._deaf += 1
        self.unsure = True
        if self._deaf == 1 and self._listener is not None:
            self._listener.ignore()
        try:
            yield
        finally:
            self._deaf -= 1
            if not self._deaf and self._listener is not None:
                self._listener.ignore()
                self._listener.listen()

    def _tables(self) -> Nftables:
        """The netlink socket, which stays open: to close it waits until the kernel has freed what was deleted, which
        takes some tens of milliseconds."""
        if self._opened is None:
            self._opened = self._connect(AF[self._family])
            weakref.finalize(self, self._opened.close)
        return self._opened

    async def send(self, piece: Sequence[Command]) -> None:
        """Have the kernel do some commands. Raises KernelError, with the service port at fault if it is known."""
        before, elements, after = parts(piece)
        await self.run(before)
        if elements:
            await asyncio.to_thread(self._commit, elements)
        await self.run(after)

    async def run(self, commands: Sequence[Command]) -> None:
        """Have nft do all of it in one transaction, elements too. Raises KernelError like `send`."""
        if not commands:
            return
        with self.unheard():
            try:
                await self._run(["nft", "-f", "-"], script_text(commands, self.name))
            except KernelError as error:
                raise KernelError(error.argv, error.code, error.stderr, _at_fault(error, commands)) from error

    async def list(self) -> Listing | None:
        """All but the elements; None: there is no table."""
        text = await self._run(["nft", "-t", "list", "ruleset", word(self._family)])
        found = re.search(rf"^table {self.name} \{{\n(.*?)^\}}", text, re.DOTALL | re.MULTILINE)
        return Listing(found[1]) if found else None

    async def elements(self) -> ElementsOf:
        """All elements but affinity's. Raises KernelError."""
        for left in reversed(range(READS)):
            try:
                return await asyncio.to_thread(self._elements)
            except KernelError as error:
                if error.code != EINTR or not left:
                    raise
        raise AssertionError("the last read either returns or raises")

    async def holds(self, elements: ElementsOf) -> bool:
        """All of these elements are in the table, with the same values."""
        return await asyncio.to_thread(self._holds, elements)

    def _commit(self, commands: Sequence[Command]) -> None:
        tables = self._tables()
        messages: list[Message] = []
        owners: list[ServicePortName | None] = []
        for command in commands:
            assert isinstance(command.object, Elements)
            container, octets = command.object
            make = tables.add if command.verb is Verb.ADD else tables.delete
            messages += make(fixed.TABLE, container, octets)
            owners += [command.port] * (len(messages) - len(owners))
        try:
            tables.commit(messages)
        except KernelError as error:
            number, error.refused = error.refused, None
            if isinstance(number, int) and number >= 0 and error.code not in _OTHERS_CODES:
                error.refused = owners[number]
            raise

    def _elements(self) -> ElementsOf:
        tables = self._tables()
        return {
            name: {key_of(octets): octets for octets in tables.elements(fixed.TABLE, name) or ()}
            for name in fixed.CONTAINERS
        }

    def _holds(self, elements: ElementsOf) -> bool:
        tables = self._tables()
        return all(tables.look(fixed.TABLE, name, wanted) == list(wanted.values()) for name, wanted in elements.items())


def parts(piece: Sequence[Command]) -> Parts:
    """What of a piece must be done first, and what last."""
    added = {command.object for command in piece if command.verb is Verb.ADD and isinstance(command.object, Chain)}
    sorted_out = Parts([], [], [])
    for command in piece:
        if isinstance(command.object, Elements):
            sorted_out.elements.append(command)
        elif command.verb is Verb.ADD or command.object in added:
            sorted_out.before.append(command)
        else:
            sorted_out.after.append(command)
    return sorted_out


def _chains(body: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    name = ""
    rules: list[str] = []
    for line in body.splitlines():
        if found := _CHAIN.match(line):
            name, rules = found[1], []
        elif line == "\t}" and name:
            yield name, tuple(rules)
            name = ""
        elif name and not line.startswith("\t\ttype "):
            rules.append(line.strip())


def _at_fault(error: KernelError, piece: Sequence[Command]) -> ServicePortName | None:
    """Whose command nft complains of, where that is not for what others did to the table in the meantime."""
    if any(sign in error.stderr for sign in _OTHERS):
        return None
    for found in _PLACE.finditer(error.stderr):
        if (line := int(found[1])) <= len(piece) and (port := piece[line - 1].port) is not None:
            return port
    return None
