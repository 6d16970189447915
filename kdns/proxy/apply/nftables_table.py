"""The table ``kube-proxy`` in the kernel: elements by netlink, all else by the program nft.

A piece of commands that concerns elements alone, as almost every change does, is one transaction and starts no program.
Where it concerns chains, too, there are three: chains are made before what leads to them, and emptied after it.
"""

import asyncio
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from errno import EBUSY, EEXIST, EINTR, ENOENT
from functools import partial
from socket import AddressFamily
from typing import Final, NamedTuple

from kdns.base.errors import KernelError
from kdns.kernel.nft_elements import compose_key, key_of
from kdns.kernel.nftables import Message, Nftables
from kdns.kernel.run import Runner
from kdns.proxy.apply.applier import AF
from kdns.proxy.apply.nftables_watch import Watch
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
        self.watch = Watch(partial(connect, AF[family]), lambda: self._opened.port if self._opened is not None else 0)

    def _tables(self) -> Nftables:
        """The netlink socket, which stays open: to close it waits until the kernel has freed what was deleted, which
        takes some tens of milliseconds."""
        if self._opened is None:
            self._opened = self._connect(AF[self._family])
            weakref.finalize(self, self._opened.close)
        return self._opened

    async def send(self, piece: Sequence[Command], *, claim: bool = False) -> int:
        """Have the kernel do some commands. Raises KernelError, with the service port at fault if it is known.

        ``claim``: an element that is there with another value is replaced; how many were.
        """
        before, elements, after = parts(piece)
        replaced = 0
        await self.run(before)
        if elements:
            replaced = await asyncio.to_thread(self._claim if claim else self._commit, elements)
        await self.run(after)
        return replaced

    async def run(self, commands: Sequence[Command]) -> None:
        """Have nft do all of it in one transaction, elements too. Raises KernelError like `send`."""
        if not commands:
            return
        with self.watch.ignoring():
            try:
                await self._run(["nft", "-f", "-"], script_text(commands, self.name))
            except KernelError as error:
                raise KernelError(error.argv, error.code, error.stderr, _at_fault(error, commands)) from error

    async def listing(self) -> Listing | None:
        """All but the elements; None: there is no table."""
        text = await self._run(["nft", "-t", "list", "ruleset", word(self._family)])
        match = re.search(rf"^table {self.name} \{{\n(.*?)^\}}", text, re.DOTALL | re.MULTILINE)
        return Listing(match[1]) if match else None

    async def counts(self) -> dict[str, int] | None:
        """How many elements each set and map holds; None: the kernel does not say it. Raises KernelError."""
        return await asyncio.to_thread(self._tables().counts, fixed.TABLE)

    async def elements(self, containers: Iterable[str] = fixed.CONTAINERS) -> ElementsOf:
        """All elements of these sets and maps. Raises KernelError."""
        names = tuple(containers)
        for left in reversed(range(READS)):
            try:
                return await asyncio.to_thread(self._elements, names)
            except KernelError as error:
                if error.code != EINTR or not left:
                    raise
        raise AssertionError("the last read either returns or raises")

    async def present(self, keys: Mapping[str, Iterable[bytes]]) -> ElementsOf:
        """Those elements with these keys, by set and map, that are in the table. Raises KernelError."""
        return await asyncio.to_thread(self._present, keys)

    async def holds(self, elements: ElementsOf) -> bool:
        """All of these elements are in the table, with the same values."""
        return await asyncio.to_thread(self._holds, elements)

    def _commit(self, commands: Sequence[Command]) -> int:
        tables = self._tables()
        if not tables.attempt(self._merged(commands)):
            return 0
        # Once more, with a message for each command: the kernel says which of them it refuses.
        messages, owners = self._messages(commands)
        if refused := tables.attempt(messages):
            raise self._refusal(commands, messages, owners, refused)
        return 0

    def _claim(self, commands: Sequence[Command]) -> int:
        """The kernel compares: to add an element that is there with the same value changes nothing."""
        tables = self._tables()
        if not tables.attempt(self._merged(commands)):
            return 0
        messages, owners = self._messages(commands)
        refused = tables.attempt(messages)
        if any(code != EEXIST for _, code in refused):
            raise self._refusal(commands, messages, owners, refused)
        replaced = 0
        deletions: list[Command] = []
        for number in sorted({owners[number] for number, _ in refused}):
            command = commands[number]
            assert isinstance(command.object, Elements)
            container, octets = command.object
            wanted = {key_of(element): element for element in octets}
            present = tables.present(fixed.TABLE, container, wanted)
            keys = tuple(compose_key(key) for key, element in present.items() if element != wanted[key])
            deletions.append(Command(Verb.DELETE, Elements(container, keys), len(keys), command.port))
            replaced += len(keys)
        self._commit([*deletions, *commands])
        return replaced

    def _merged(self, commands: Sequence[Command]) -> list[Message]:
        """A message for each set and map, which costs the kernel and us a third less than one for each command; what is
        deleted comes first, since it may be added with another value."""
        tables = self._tables()
        merged: dict[Verb, dict[str, list[bytes]]] = {Verb.DELETE: {}, Verb.ADD: {}}
        for command in commands:
            assert isinstance(command.object, Elements)
            container, octets = command.object
            merged[command.verb].setdefault(container, []).extend(octets)
        deleted = [tables.delete(fixed.TABLE, name, octets) for name, octets in merged[Verb.DELETE].items()]
        added = [tables.add(fixed.TABLE, name, octets) for name, octets in merged[Verb.ADD].items()]
        return [message for messages in (*deleted, *added) for message in messages]

    def _messages(self, commands: Sequence[Command]) -> tuple[list[Message], list[int]]:
        """With the number of the command that each message belongs to."""
        tables = self._tables()
        messages: list[Message] = []
        owners: list[int] = []
        for number, command in enumerate(commands):
            assert isinstance(command.object, Elements)
            container, octets = command.object
            make = tables.add if command.verb is Verb.ADD else tables.delete
            messages += make(fixed.TABLE, container, octets)
            owners += [number] * (len(messages) - len(owners))
        return messages, owners

    def _refusal(
        self,
        commands: Sequence[Command],
        messages: Sequence[Message],
        owners: Sequence[int],
        refused: Sequence[tuple[int, int]],
    ) -> KernelError:
        error = self._tables().refusal(messages, refused)
        number, error.refused = error.refused, None
        if isinstance(number, int) and number >= 0 and error.code not in _OTHERS_CODES:
            error.refused = commands[owners[number]].port
        return error

    def _elements(self, names: Iterable[str]) -> ElementsOf:
        tables = self._tables()
        return {name: {key_of(octets): octets for octets in tables.elements(fixed.TABLE, name) or ()} for name in names}

    def _present(self, keys: Mapping[str, Iterable[bytes]]) -> ElementsOf:
        tables = self._tables()
        return {name: tables.present(fixed.TABLE, name, some) for name, some in keys.items()}

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
        if match := _CHAIN.match(line):
            name, rules = match[1], []
        elif line == "\t}" and name:
            yield name, tuple(rules)
            name = ""
        elif name and not line.startswith("\t\ttype "):
            rules.append(line.strip())


def _at_fault(error: KernelError, piece: Sequence[Command]) -> ServicePortName | None:
    """Whose command nft complains of, where that is not for what others did to the table in the meantime."""
    if any(sign in error.stderr for sign in _OTHERS):
        return None
    for place in _PLACE.finditer(error.stderr):
        if (line := int(place[1])) <= len(piece) and (port := piece[line - 1].port) is not None:
            return port
    return None
