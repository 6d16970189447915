"""A network namespace with nothing in it, for tests of what is in the table of nftables mode."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from socket import AF_INET, AddressFamily
from typing import Any

from pyroute2 import netns
from pyroute2.netlink.nfnetlink.nftsocket import NFT_MSG_DELSETELEM, NFT_MSG_NEWSETELEM

from kdns.base.clock import Clock
from kdns.kernel.netlink import attributes
from kdns.kernel.nft_elements import split
from kdns.kernel.nftables import Message, Nftables
from kdns.kernel.run import PATIENCE, Runner
from kdns.proxy.apply.nftables import NftablesApplier
from kdns.proxy.model import Family, Frontend, RuleChange, ServicePortRules
from tests.proxy.apply.node_net import runner_in
from tests.proxy.nftables_plan import V4


class _Noted(Nftables):
    """Notes each transaction that changes something as a text: a line for each message, ``add element x 100``."""

    def __init__(self, family: AddressFamily, sent: list[str], listed: list[str]) -> None:
        super().__init__(family)
        self._sent, self._listed = sent, listed

    def elements(self, table: str, name: str) -> Iterator[bytes] | None:
        self._listed.append(name)
        return super().elements(table, name)

    def attempt(self, messages: Sequence[Message], generation: int | None = None) -> list[tuple[int, int]]:
        verbs = {NFT_MSG_NEWSETELEM: "add", NFT_MSG_DELSETELEM: "delete"}
        lines = []
        for kind, _, payload in messages:
            count = sum(1 for _ in split(attributes(payload, 4)[3]))
            lines.append(f"{verbs[kind & 0xFF]} element x {count}")
        before = self.generation()
        refused = super().attempt(messages, generation)
        if self.generation() != before:
            self._sent.append("\n".join(lines))
        return refused


def added(text: str) -> int:
    """How many elements a transaction adds."""
    return sum(int(line.rpartition(" ")[2]) for line in text.split("\n") if line.startswith("add element"))


class Space:
    """A network namespace with nothing in it, and what nft says there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent: list[str] = []
        self.listed: list[str] = []
        """Sets and maps that were listed."""

    def applier(
        self, family: Family, runner: Runner | None = None, *, clock: Clock = time.monotonic
    ) -> NftablesApplier:
        """One that works in here."""
        return NftablesApplier(family, runner or self.run, clock, connect=self._connect)

    def _connect(self, family: AddressFamily) -> Nftables:
        made: list[Nftables] = []

        def make() -> None:
            netns.setns(self.name)
            made.append(_Noted(family, self.sent, self.listed))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]

    def generation(self) -> int:
        """It grows by one with each transaction."""
        with self._connect(AF_INET) as tables:
            return tables.generation()

    async def run(self, argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
        """A runner that notes what is sent to be done (not what is only tried)."""
        if list(argv) == ["nft", "-f", "-"]:
            assert isinstance(stdin, str)
            self.sent.append(stdin)
        return await runner_in(self.name)(argv, stdin, patience)

    def nft(self, *words: str, stdin: str = "") -> str:
        """Somebody else's nft."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, "nft", *words], check=True, capture_output=True, text=True, input=stdin
        )
        return done.stdout

    def table(self, family: Family) -> list[Any]:
        """All objects of the table, without what depends on the order in which they were made."""
        word = "ip" if family is V4 else "ip6"
        found = []
        for item in json.loads(self.nft("-j", "list", "table", word, "kube-proxy"))["nftables"]:
            kind, value = next(iter(item.items()))
            if kind == "metainfo":
                continue
            value.pop("handle", None)
            if "elem" in value:
                value["elem"].sort(key=json.dumps)
            found.append([kind, value])
        # Rules of a chain keep their order.
        return sorted(found, key=lambda each: (each[0], each[1].get("chain", ""), each[1].get("name", "")))


def change(before: ServicePortRules | None, after: ServicePortRules | None) -> RuleChange:
    one = after or before
    assert one is not None
    return RuleChange(one.name, before, after)


async def later(applier: NftablesApplier) -> None:
    """Tidy, as if a long time had passed."""
    now = applier._clock
    applier._clock = lambda: now() + 10
    await applier.tidy()
    applier._clock = now


def replace_frontend(port: ServicePortRules, address: bytes, number: int) -> Any:
    return port.entries[0]._replace(frontend=Frontend("cluster IP", address, number))
