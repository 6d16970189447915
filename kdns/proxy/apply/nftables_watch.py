"""What other processes do to the table ``kube-proxy``, as the kernel notifies of it.

A notification names the element, so that only what was touched is read and written again; the rest is as we wrote it.
Where notifications were lost, or so many came that to look at all costs less, everything may be another.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from kdns.kernel.nftables import ForeignChange, Nftables
from kdns.proxy.render.nftables import fixed

MOST: Final = 5_000
"""Elements that are remembered one by one."""


class ForeignChanges:
    """What others have changed since the table was last looked at."""

    def __init__(self) -> None:
        self.unknown = False
        """Perhaps everything is another."""
        self.chains = False
        """Chains or rules are others."""
        self.elements: dict[str, set[bytes]] = {}
        """The keys of elements that were added or deleted, by set or map."""
        self._count = 0

    def __bool__(self) -> bool:
        return self.unknown or self.chains or bool(self.elements)

    def note(self, changes: list[ForeignChange] | None) -> bool:
        """Take in what was read; False: that was nothing of ours. None: notifications were lost."""
        if changes is None:
            self.unknown = True
            return True
        for change in changes:
            if change.what == "chains":
                self.chains = True
            elif change.container in fixed.CONTAINERS:
                self.elements.setdefault(change.container, set()).update(change.keys)
                self._count += len(change.keys)
            else:
                self.unknown = True
        self.unknown = self.unknown or self._count > MOST
        return bool(changes)


class Watch:
    """Listens to the kernel's notifications."""

    def __init__(self, connect: Callable[[], Nftables], own: Callable[[], int]) -> None:
        """``connect`` opens a netlink socket; ``own`` gives the port of the one that writes our elements."""
        self._connect, self._own = connect, own
        self._listener: Nftables | None = None
        self._altered: Callable[[], None] = lambda: None
        self._ignored = 0
        self.foreign = ForeignChanges()
        self.unsure = True
        """Others may have changed anything, since nothing was listened to. Set it to False after a look."""

    @property
    def listening(self) -> bool:
        """The kernel notifies of what other processes do."""
        return self._listener is not None and not self._ignored

    def take(self) -> ForeignChanges:
        """What others have changed; from here on it is dealt with."""
        taken, self.foreign = self.foreign, ForeignChanges()
        return taken

    async def run(self, altered: Callable[[], None]) -> None:
        """Run for ever; call `altered` when another process changes the table. Raises OSError."""
        with self._connect() as listener:

            def read() -> None:
                if self.foreign.note(listener.changes_of_others(fixed.TABLE, self._own())):
                    altered()

            self._altered = altered
            if not self._ignored:  # or `ignoring` begins to listen at its end
                listener.listen()
            loop = asyncio.get_running_loop()
            loop.add_reader(listener.fileno(), read)
            self._listener = listener
            try:
                await asyncio.Event().wait()
            finally:
                self._listener, self.unsure = None, True
                loop.remove_reader(listener.fileno())

    @contextmanager
    def ignoring(self) -> Iterator[None]:
        """What is done in here is not listened to: it is done by nft, or so much that listening would cost more.

        What others do meanwhile is for the next look to find.
        """
        self._ignored += 1
        self.unsure = True
        if self._ignored == 1 and self._listener is not None:
            if self.foreign.note(self._listener.changes_of_others(fixed.TABLE, self._own(), every=True)):
                self._altered()  # of what came before; what is ignored is dropped
            self._listener.ignore()
        try:
            yield
        finally:
            self._ignored -= 1
            if not self._ignored and self._listener is not None:
                self._listener.ignore()
                self._listener.listen()
