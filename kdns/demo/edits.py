"""What an edit in the example's folder has changed, in a line for each name: the old records and the new ones."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from kdns.records.present import rdata_text
from kdns.records.rrset import RRset
from kdns.watch.manifests.folder import Signature, content, scan, watched_folders
from kdns.watch.manifests.reading import parse_manifests
from kdns.wire.name import name_text
from kdns.wire.numbers import AAAA, CNAME, SRV, A
from kdns.wire.types import type_text

SHOWN: Final = (A, AAAA, CNAME, SRV)
ZONE: Final = ".svc.cluster.local."
LOOK: Final = 0.1
"""Seconds between two looks at the folder."""
LOOKS: Final = 30
"""After which an edit that changed no record is taken for one that changes none."""
BROKEN_LOOKS: Final = 5
"""The same for a file with mistakes, most of which change nothing."""
LINES: Final = 12
"""Lines about one edit at most."""

Sleep = Callable[[float], Awaitable[object]]
"""Waits so many seconds."""

Records = Mapping[tuple[str, str], tuple[str, ...]]
"""The data by name and type, as people write them: ``hostnames.default``, ``A``."""


def records_of(rrsets: Iterable[RRset]) -> Records:
    """The records of Services and of the Pods below them; reverse names and the zone's own say nothing more."""
    records: dict[tuple[str, str], set[str]] = {}
    for rrset in rrsets:
        owner = name_text(rrset.owner)
        if rrset.rtype in SHOWN and owner.endswith(ZONE):
            key = owner.removesuffix(ZONE), type_text(rrset.rtype)
            records.setdefault(key, set()).update(rdata_text(rrset.rtype, rdata) for rdata in rrset.rdatas)
    return {key: tuple(sorted(data)) for key, data in records.items()}


def changes(before: Records, after: Records) -> Iterator[str]:
    """``hostnames.default A 10.96.80.80 -> 10.96.80.99``, in the order of names."""
    for name, rtype in sorted(before.keys() | after.keys()):
        old, new = (", ".join(records.get((name, rtype), ())) for records in (before, after))
        if old != new:
            yield f"{name} {rtype} {old or '(none)'} -> {new or '(none)'}"


async def tell_edits(
    folder: Path, records: Callable[[], Iterable[RRset]], tell: Callable[[str], None], *, sleep: Sleep = asyncio.sleep
) -> None:
    """Follow the folder for as long as it is there, and tell of each edit what it changed. Ends by being cancelled."""
    known, said = scan(folder).files, records_of(records())
    broken: set[str] = set()
    while True:
        await sleep(LOOK)
        now = scan(folder).files
        if now == known:
            continue
        now = await _settled(folder, now, sleep)
        if now == known or not watched_folders(folder):
            continue
        edited = sorted(name for name in now.keys() | known.keys() if now.get(name) != known.get(name))
        told = [_what(name, known, now, broken) for name in edited]
        known = now
        fresh = await _changed(records, said, BROKEN_LOOKS if broken.intersection(edited) else LOOKS, sleep)
        lines = list(changes(said, fresh))
        said = fresh
        called = ", ".join(Path(name).name for name in edited)
        for words in told:
            if words:
                tell(words)
        for line in lines[:LINES]:
            tell(f"{called}: {line}")
        if len(lines) > LINES:
            tell(f"{called}: ... and {len(lines) - LINES} more changes")
        if not lines and not any(told) and not broken.intersection(edited):
            tell(f"{called}: no record has changed")


async def _settled(folder: Path, before: Mapping[str, Signature], sleep: Sleep) -> dict[str, Signature]:
    """The files once they stay as they are between two looks: editors move a file away before its new text comes."""
    while True:
        await sleep(LOOK)
        now = scan(folder).files
        if now == before:
            return now
        before = now


async def _changed(records: Callable[[], Iterable[RRset]], said: Records, looks: int, sleep: Sleep) -> Records:
    """The records once they differ, or after a while. A change is applied as a whole, between two looks."""
    for _ in range(looks):
        if (fresh := records_of(records())) != said:
            return fresh
        await sleep(LOOK)
    return said


def _what(name: str, known: Mapping[str, Signature], now: Mapping[str, Signature], broken: set[str]) -> str:
    """What became of a file, if there is more to say than its records; notes whether it is broken.

    What is wrong with a broken file the log says, with its place.
    """
    called = Path(name).name
    if name not in now:
        broken.discard(name)
        return f"{called}: deleted"
    data = content(name)
    mistaken = data is not None and bool(parse_manifests(data, called).problems)
    was = name in broken
    (broken.add if mistaken else broken.discard)(name)
    if was and not mistaken:
        return f"{called}: can be read again"
    return "" if name in known else f"{called}: new"
