"""What a zone that was signed elsewhere tells clients who ask for DNSSEC (RFC 4035 section 3.1).

Nothing is signed or checked here: signatures stand beside the records that they are for, and NSEC records show that
there is nothing between two names.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kdns.wire.name import labels
from kdns.wire.numbers import NSEC, RRSIG
from kdns.wire.rr import RR

Sets = Mapping[int, tuple[RR, ...]]
"""The records of a name by type."""


class Signed:
    """The signatures of one zone, and the order of its names."""

    def __init__(self, nodes: Mapping[bytes, Sets]) -> None:
        self._nodes = nodes
        order = sorted((_canonical(name), name) for name, sets in nodes.items() if NSEC in sets)
        self._keys = [key for key, _ in order]
        self._names = [name for _, name in order]

    def signatures(self, records: Sequence[RR], name: bytes) -> tuple[RR, ...]:
        """Those of a set of records; ``name`` is where it stands in the zone: its owner, or a wildcard."""
        if not records:
            return ()
        covered = records[0].rtype.to_bytes(2, "big")
        sets = self._nodes.get(name, {})
        return tuple(
            record._replace(owner=records[0].owner, ttl=records[0].ttl)
            for record in sets.get(RRSIG, ())
            if record.rdata[:2] == covered
        )

    def with_signatures(self, records: Iterable[RR]) -> Iterator[RR]:
        """Sets of records as they stand in the zone, each with its signatures behind it."""
        run: list[RR] = []
        for record in (*records, None):
            if run and (record is None or (record.owner, record.rtype) != (run[0].owner, run[0].rtype)):
                yield from run
                yield from self.signatures(run, run[0].owner)
                run = []
            if record is not None:
                run.append(record)

    def proof(self, name: bytes) -> tuple[RR, ...]:
        """The NSEC record of a name, or the one which shows that it does not exist, with its signatures."""
        at = bisect_right(self._keys, _canonical(name)) - 1  # before the first is behind the last: they are a circle
        if not self._names:
            return ()
        owner = self._names[at]
        records = self._nodes[owner][NSEC]
        return (*records, *self.signatures(records, owner))


def _canonical(name: bytes) -> tuple[bytes, ...]:
    """For the order of names (RFC 4034 section 6.1): labels from the root on."""
    return tuple(labels(name))[::-1]
