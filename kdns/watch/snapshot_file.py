"""The snapshot of one cluster in a file: read once at the start, written at most once a minute, whole or not at all."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from kdns.base.clock import Clock
from kdns.base.errors import ApiError
from kdns.base.objects import PLURALS, Kind, Object
from kdns.watch.snapshot import LIMIT, Snapshot, Unusable, decode, encode, encode_object
from kdns.watch.source import Want

LOG: Final = logging.getLogger("kdns.watch")
EVERY: Final = 60.0
"""Seconds between two writes."""

Identity = Callable[[], Awaitable[str]]
"""Names the cluster; raises ApiError if the credentials that name it cannot be read."""


class SnapshotFile:
    """A file in a folder that outlives the process: an emptyDir, or a hostPath for a node's restart as well."""

    def __init__(
        self,
        folder: str,
        name: str,
        identity: Identity,
        *,
        every: float = EVERY,
        limit: int = LIMIT,
        now: Clock = time.time,
    ) -> None:
        """``name`` is what follows the cluster (``dns``, ``proxy``): several may share a folder."""
        self.path = Path(folder) / f"{name}.snapshot"
        self.every = every
        self._identity, self._limit, self._now = identity, limit, now
        self._problem = ""

    async def load(self, wants: Sequence[Want]) -> Snapshot | None:
        """What was last known; None if there is nothing that can be used, which is logged in one line."""
        try:
            cluster = await self._identity()
            snapshot = await asyncio.to_thread(self._read, cluster, tuple(wants))
        except FileNotFoundError:
            return None  # the first start
        except (OSError, Unusable, ApiError) as error:
            LOG.warning("the snapshot %s is not used: %s", self.path, error)
            return None
        return snapshot

    async def save(self, wants: Sequence[Want], objects: Sequence[tuple[Kind, Sequence[Object]]]) -> None:
        """Write what is known now, in a thread; a failure is logged once, and tried again next time."""
        try:
            cluster = await self._identity()
            await asyncio.to_thread(self._write, cluster, tuple(wants), objects)
        except (OSError, Unusable, ApiError) as error:
            problem = str(error)
            if problem != self._problem:
                LOG.warning("no snapshot is written to %s: %s", self.path, problem)
            self._problem = problem
        else:
            self._problem = ""

    def _read(self, cluster: str, wants: tuple[Want, ...]) -> Snapshot:
        with self.path.open("rb") as file:
            data = file.read(self._limit + 1)
        if len(data) > self._limit:
            raise Unusable(f"it has more than {self._limit:,} octets")
        return decode(data, cluster, wants)

    def _write(self, cluster: str, wants: tuple[Want, ...], objects: Sequence[tuple[Kind, Sequence[Object]]]) -> None:
        taken = self._now()
        encoded = [(kind, [encode_object(kept) for kept in several]) for kind, several in objects]
        if (size := sum(len(item) for _, items in encoded for item in items)) > self._limit:
            largest = max(encoded, key=lambda pair: sum(map(len, pair[1])))[0]
            most = PLURALS[largest]
            raise Unusable(f"it would have {size:,} octets, most of them {most}; {self._limit:,} are allowed")
        data = encode(cluster, taken, wants, encoded)
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with open(beside, "wb", opener=_private) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # the new name, too, is to outlive a power failure
        finally:
            os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
