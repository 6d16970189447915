"""Writes the rules, looks at them, and removes them: by nft or by iptables."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from kdns.base.errors import ConfigError, KernelError
from kdns.kernel.run import Runner, run
from kdns.nodelocal import iptables, nftables
from kdns.nodelocal.liveness import Liveness

_ANYTHING: Final = (bytes((192, 0, 2, 1)), bytes((0x20, 1, 0xD, 0xB8)) + bytes(11) + b"\1")
"""Addresses of documentation (RFC 5737, RFC 3849), to try rules with."""
_ENTRY: Final = re.compile(r"^-A .*$", re.MULTILINE)
_TABLE: Final = re.compile(r"^\*(\w+)$(.*?)^COMMIT$", re.MULTILINE | re.DOTALL)
"""Of iptables-save: name and text."""
NOT_INSTALLED: Final = 127


class LocalRules(Protocol):
    """What goes around a server that does not answer."""

    liveness: Liveness
    """What they take as a sign that it does."""

    async def prepare(self) -> None:
        """Find out whether they can be written. Raises ConfigError."""
        ...

    async def write(self, addresses: Sequence[bytes]) -> None:
        """Write them for these addresses, packed, in place of any that are there. Raises KernelError."""
        ...

    async def intact(self) -> bool:
        """They are as they were written. Raises KernelError."""
        ...

    async def remove(self) -> None:
        """Remove them, if they are there. Raises KernelError."""
        ...


async def _with_sockets(attempt: Callable[[bool], Awaitable[object]], hint: str) -> bool:
    """Whether the kernel takes the rules with the match of sockets, which some kernels lack, or only without it.

    Raises ConfigError if it takes neither.
    """
    for sockets in (True, False):
        try:
            await attempt(sockets)
        except KernelError as error:
            problem = error
        else:
            return sockets
    raise ConfigError(f"local DNS: the kernel does not take the rules: {problem}", hint=hint)


class NftablesLocalRules:
    """`LocalRules` by nft."""

    liveness = nftables.LIVENESS

    def __init__(self, runner: Runner = run) -> None:
        self._run, self._sockets = runner, True
        self._listed = ""

    async def prepare(self) -> None:
        """See `LocalRules.prepare`; the kernel checks the whole table without making it."""
        self._sockets = await _with_sockets(
            lambda sockets: self._run(["nft", "-c", "-f", "-"], nftables.script(_ANYTHING, sockets=sockets)),
            "nft 1.0.1 and CAP_NET_ADMIN are needed; --local-dns-rules=iptables does without nf_tables",
        )

    async def write(self, addresses: Sequence[bytes]) -> None:
        """See `LocalRules.write`: one transaction."""
        await self._run(["nft", "-f", "-"], nftables.script(addresses, sockets=self._sockets))
        self._listed = await self._list()

    async def intact(self) -> bool:
        """See `LocalRules.intact`."""
        try:
            return await self._list() == self._listed
        except KernelError as error:
            if "No such file" in error.stderr:
                return False
            raise

    async def _list(self) -> str:
        return await self._run(["nft", "-t", "list", "table", "inet", nftables.TABLE])

    async def remove(self) -> None:
        """See `LocalRules.remove`."""
        try:
            await self._run(["nft", "-f", "-"], nftables.removal())
        except KernelError as error:
            if error.code != NOT_INSTALLED:
                raise


class Programs(NamedTuple):
    """How one family's iptables is called."""

    command: str
    """``iptables-legacy``"""

    @property
    def restore(self) -> tuple[str, ...]:
        """What takes scripts."""
        return f"{self.command}-restore", "-w", "5", "--noflush"

    def words(self, table: str, *words: str) -> tuple[str, ...]:
        """One command."""
        return self.command, "-w", "5", "-t", table, *words


Detect = Callable[[int], Awaitable[Sequence[str]]]
"""Which variants of iptables to use for addresses of so many octets: ``iptables-nft``; see `IptablesLocalRules`."""


class IptablesLocalRules:
    """`LocalRules` by iptables, each family's in the variant that is found."""

    liveness = iptables.LIVENESS

    def __init__(self, detect: Detect, variants: Detect, runner: Runner = run) -> None:
        """``detect``: the one variant to write with. ``variants``: all that are installed, to remove from."""
        self._detect, self._variants, self._run = detect, variants, runner
        self._sockets = True
        self._listed: dict[tuple[str, str], list[str]] = {}

    async def prepare(self) -> None:
        """See `LocalRules.prepare`."""
        programs = Programs((await self._detect(4))[0])
        self._sockets = await _with_sockets(
            lambda sockets: self._run((*programs.restore, "--test"), iptables.script(_ANYTHING[:1], sockets=sockets)),
            "CAP_NET_ADMIN and the modules xt_recent, xt_CT and iptable_raw are needed",
        )

    async def write(self, addresses: Sequence[bytes]) -> None:
        """See `LocalRules.write`."""
        self._listed = {}
        for width in iptables.widths(addresses):
            programs = Programs((await self._detect(width))[0])
            some = [address for address in addresses if len(address) == width]
            await self._run(programs.restore, iptables.script(some, sockets=self._sockets))
            for table, hook, chain in iptables.JUMPS:
                if not await self._jumps(programs, table, hook, chain):
                    await self._run(programs.words(table, "-I", hook, "-j", chain))
            self._listed |= await self._list(programs)
        for width in {4, 16}.difference(iptables.widths(addresses)):  # a Service may lose a family
            await self._remove_family(width)

    async def intact(self) -> bool:
        """See `LocalRules.intact`."""
        for command in {command for command, _ in self._listed}:
            now = await self._list(Programs(command))
            if any(self._listed[where] != rules for where, rules in now.items()):
                return False
        return True

    async def _list(self, programs: Programs) -> Mapping[tuple[str, str], list[str]]:
        listed = {}
        for table in ("raw", "filter"):
            text = await self._run((f"{programs.command}-save", "-t", table))
            listed[programs.command, table] = [line for line in _ENTRY.findall(text) if "KDNS-DNS-" in line]
        return listed

    async def _jumps(self, programs: Programs, table: str, hook: str, chain: str) -> bool:
        try:
            await self._run(programs.words(table, "-C", hook, "-j", chain))
        except KernelError as error:
            if error.code in {1, 2}:  # the rule or the chain is missing
                return False
            raise
        return True

    async def remove(self) -> None:
        """See `LocalRules.remove`: in every variant that is installed."""
        for width in (4, 16):
            await self._remove_family(width)

    async def _remove_family(self, width: int) -> None:
        for command in await self._variants(width):
            programs = Programs(command)
            for table in await self._tables(programs):
                await self._remove(programs, table)

    async def _tables(self, programs: Programs) -> list[str]:
        """Those that have chains of ours. A table of legacy that is named would be made, with its hooks."""
        each = [("-t", "raw"), ("-t", "filter")] if programs.command.endswith("-nft") else [()]
        saved = "".join([await self._run((f"{programs.command}-save", *words)) for words in each])
        return [match[1] for match in _TABLE.finditer(saved) if "KDNS-DNS-" in match[2]]

    async def _remove(self, programs: Programs, table: str) -> None:
        for where, hook, chain in iptables.JUMPS:
            while where == table and await self._jumps(programs, table, hook, chain):
                await self._run(programs.words(table, "-D", hook, "-j", chain))
        await self._run(programs.restore, iptables.removal(table))
