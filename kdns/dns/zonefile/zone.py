"""A static zone: names are looked up as an authoritative server does (RFC 1034 section 4.3.2, RFC 4592, RFC 6672).

::

    name ──> below a cut? ──> referral with glue
       └──> below a DNAME? ──> it, and an alias made from it
       └──> there? ──> its records, its alias, or NODATA; an empty non-terminal exists (RFC 8020)
       └──> a wildcard under the closest encloser? ──> the same, with the name asked for
       └──> NXDOMAIN

In a zone that is signed already, clients who ask for DNSSEC get signatures and proofs along, see `signed`.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from kdns.base.errors import ConfigError
from kdns.dns.zonefile.signed import Signed
from kdns.wire.name import MAX_NAME, label_starts, name_at, name_text, under
from kdns.wire.numbers import (
    AA,
    AAAA,
    ANY,
    CNAME,
    DNAME,
    DS,
    HTTPS,
    MX,
    NOERROR,
    NS,
    NSEC,
    NXDOMAIN,
    RRSIG,
    SERVFAIL,
    SOA,
    SRV,
    SVCB,
    A,
)
from kdns.wire.rr import RR

MAX_CHAIN: Final = 11
"""Aliases that are followed within the zone."""
YXDOMAIN: Final = 6
"""RFC 6672 section 2.2: the name that a DNAME leads to is too long."""
WILDCARD: Final = b"\x01*"
TARGET_AT: Final = {NS: 0, MX: 2, SRV: 6, SVCB: 2, HTTPS: 2}
"""Types whose targets' addresses are sent along: where in the rdata the name begins."""

Sets = dict[int, tuple[RR, ...]]
"""The records of a name by type."""


class LookupResult(NamedTuple):
    """What a lookup found."""

    rcode: int = NOERROR
    flags: int = AA
    answer: tuple[RR, ...] = ()
    authority: tuple[RR, ...] = ()
    additional: tuple[RR, ...] = ()
    chase: bytes | None = None
    """An alias leads to this name, which is not in the zone."""
    proofs: tuple[bytes, ...] = ()
    """Names whose NSEC records show what does not exist, or has no such type."""
    cut: bytes = b""
    """Of a referral: the delegation."""
    source: bytes = b""
    """Where the answer stands in the zone: a wildcard, or empty, for the name itself."""


class StaticZone:
    """The records of one zone; never changed, but replaced by another."""

    def __init__(self, apex: bytes, records: Iterable[RR]) -> None:
        """Records outside of the zone are left out and counted in `strays`. Raises ConfigError if they make no zone."""
        self.apex = apex
        self.strays = 0
        self._nodes: dict[bytes, Sets] = {}
        building: dict[bytes, dict[int, dict[bytes, RR]]] = {}  # by owner, type and rdata
        for record in records:
            self._add(record, building)
        for name, kinds in building.items():
            self._nodes[name] = {rtype: tuple(several.values()) for rtype, several in kinds.items()}
        top = self._nodes.get(apex, {})
        if len(top.get(SOA, ())) != 1:
            raise ConfigError(
                f"{len(top.get(SOA, ()))} SOA records at {name_text(apex)}, a zone has one",
                hint="is the file for another zone? Write the zone behind the name of the file",
            )
        for name, sets in self._nodes.items():
            if CNAME in sets and (len(sets[CNAME]) > 1 or sets.keys() - {CNAME, RRSIG, NSEC}):
                raise ConfigError(
                    f"{name_text(name)} is an alias and has other records as well (RFC 2181 section 10.1)"
                )
            if SOA in sets and name != apex:
                raise ConfigError(f"an SOA record at {name_text(name)}, which is not the apex {name_text(apex)}")
            if len(sets.get(DNAME, ())) > 1:
                raise ConfigError(f"{name_text(name)} has more than one DNAME record (RFC 6672 section 2.4)")
        self.soa = top[SOA][0]
        self._cuts = any(name != apex and (NS in sets or DNAME in sets) for name, sets in self._nodes.items())
        self._cuts = self._cuts or DNAME in top
        minimum = int.from_bytes(self.soa.rdata[-4:], "big")
        self._signed = Signed(self._nodes) if RRSIG in top else None
        self._denial = (self.soa._replace(ttl=min(self.soa.ttl, minimum)),)  # RFC 2308 section 5

    @property
    def serial(self) -> int:
        """Of the SOA record."""
        return int.from_bytes(self.soa.rdata[-20:-16], "big")

    def records(self) -> Iterator[RR]:
        """All of them, the SOA record first, name by name in the order of the file."""
        yield self.soa
        for sets in self._nodes.values():
            for rtype, several in sets.items():
                if rtype != SOA:
                    yield from several

    def __len__(self) -> int:
        """How many records there are."""
        return sum(1 for _ in self.records())

    def _add(self, record: RR, building: dict[bytes, dict[int, dict[bytes, RR]]]) -> None:
        if not under(record.owner, self.apex):
            self.strays += 1
            return
        if record.owner not in building:
            for start in label_starts(record.owner) or ():  # empty non-terminals on the way
                above = record.owner[start:]
                if len(above) >= len(self.apex):
                    building.setdefault(above, {})
            building.setdefault(record.owner, {})
        present = building[record.owner].setdefault(record.rtype, {})
        if record.rdata not in present:
            # RFC 2181 section 5.2: the TTLs of a set are equal; RFC 4034 section 3: but signatures are no set
            first = next(iter(present.values()), record) if record.rtype != RRSIG else record
            present[record.rdata] = record._replace(ttl=first.ttl)

    @property
    def expires(self) -> int | None:
        """Unix seconds at which the signature of the SOA record ends, and most likely all; None: it is not signed."""
        signatures = self._signed.signatures((self.soa,), self.apex) if self._signed is not None else ()
        return max((int.from_bytes(record.rdata[8:12], "big") for record in signatures), default=None)

    def lookup(self, name: bytes, rtype: int, *, do: bool = False) -> LookupResult:
        """What a folded name in the zone has of a type; aliases are followed within the zone.

        ``do``: the client wants signatures and proofs, if there are any.
        """
        answer: tuple[RR, ...] = ()
        proofs: tuple[RR, ...] = ()
        seen: set[bytes] = set()
        signed = self._signed if do else None
        while True:
            result = self._step(name, rtype)
            if signed is not None:
                proofs += tuple(record for proven in result.proofs for record in signed.proof(proven))
                if result.cut:  # RFC 4035 section 3.1.4: whether what is behind it is signed, too
                    signers = tuple(signed.with_signatures(self._nodes[result.cut].get(DS, ())))
                    proofs += signers or signed.proof(result.cut)
                result = self._sign(result, signed)
            answer += result.answer
            if result.chase is None:
                flags = result.flags | (AA if answer else 0)
                authority = tuple(dict.fromkeys((*result.authority, *proofs)))
                return result._replace(answer=answer, flags=flags, authority=authority)
            seen.add(name)
            name = result.chase
            if not under(name, self.apex):
                return LookupResult(answer=answer, authority=proofs, chase=name)
            if name in seen or len(seen) >= MAX_CHAIN:
                return LookupResult(SERVFAIL, AA, answer)

    def _sign(self, result: LookupResult, signed: Signed) -> LookupResult:
        """With signatures. Glue and the servers of a delegation have none, nor has what a DNAME makes."""
        if result.source:
            answer = (*result.answer, *signed.signatures(result.answer, result.source))
        else:
            answer = tuple(signed.with_signatures(result.answer))
        authority = signed.with_signatures(result.authority)
        additional = signed.with_signatures(result.additional)
        return result._replace(answer=answer, authority=tuple(authority), additional=tuple(additional))

    def _step(self, name: bytes, rtype: int) -> LookupResult:
        """One name, its alias not followed."""
        if self._cuts and (elsewhere := self._above(name, rtype)) is not None:
            return elsewhere
        sets = self._nodes.get(name)
        proofs: tuple[bytes, ...] = (name,)
        source = b""
        if sets is None:
            wildcard = self._wildcard(name)
            sets = self._nodes.get(wildcard)
            if sets is None:
                return LookupResult(NXDOMAIN, authority=self._denial, proofs=(name, wildcard))
            proofs, source = (name, wildcard), wildcard
            sets = {kind: tuple(record._replace(owner=name) for record in several) for kind, several in sets.items()}
        expanded = (name,) if source else ()
        alias = sets.get(CNAME)
        if alias and rtype in {CNAME, ANY}:
            return LookupResult(answer=alias, proofs=expanded, source=source)
        if alias and rtype not in sets:
            return LookupResult(answer=alias, chase=alias[0].rdata, proofs=expanded, source=source)
        if rtype == ANY and self._signed is not None:  # a proof would list the types (RFC 8482 section 4.1)
            rtype = next((kind for kind in sets if kind != RRSIG), rtype)
        answer = sets.get(rtype)
        if not answer:
            return LookupResult(authority=self._denial, proofs=proofs)
        servers = self._nodes[self.apex].get(NS, ()) if (name, rtype) != (self.apex, NS) else ()
        addresses = self._addresses(answer, sets)
        return LookupResult(answer=answer, authority=servers, additional=addresses, proofs=expanded, source=source)

    def _above(self, name: bytes, rtype: int) -> LookupResult | None:
        """The highest cut or DNAME that a name is under; None if it is under neither."""
        for start in reversed((*(label_starts(name) or ()), len(name) - 1)):
            above = name[start:]
            if len(above) < len(self.apex):
                continue
            sets = self._nodes.get(above)
            if sets is None:
                return None
            # RFC 4035 section 3.1.4.1: DS records of a cut are on this side of it
            if above != self.apex and NS in sets and (above != name or rtype != DS):
                servers = sets[NS]
                return LookupResult(flags=0, authority=servers, additional=self._addresses(servers), cut=above)
            if above != name and DNAME in sets:
                return _renamed(name, start, sets[DNAME][0])
        return None

    def _wildcard(self, name: bytes) -> bytes:
        """The wildcard that a name which does not exist would be made from (RFC 4592 section 3.3.1)."""
        for start in (label_starts(name) or ())[1:]:
            encloser = name[start:]
            if encloser in self._nodes:
                return WILDCARD + encloser
        return WILDCARD + self.apex

    def _addresses(self, records: Iterable[RR], own: Sets | None = None) -> tuple[RR, ...]:
        """What the zone knows of the addresses of the targets of records, also below its cuts (RFC 1034 4.2.1).

        ``own``: the records at the owner, which is the target that the root stands for in HTTPS and SVCB (RFC 9460
        section 2.5.2). An alias of these brings the records that it leads to as well (section 4.1).
        """
        additional: dict[RR, None] = {}
        for record in records:
            at = TARGET_AT.get(record.rtype)
            if at is None:
                continue
            sets = self._nodes.get(name_at(record.rdata, at).lower(), {})
            if record.rtype in {HTTPS, SVCB}:
                alias = record.rdata[:2] == b"\0\0"
                if record.rdata[2:3] == b"\0":
                    sets = own if own is not None and not alias else {}
                elif alias:
                    additional |= dict.fromkeys(sets.get(record.rtype, ()))
            additional |= dict.fromkeys((*sets.get(A, ()), *sets.get(AAAA, ())))
        return tuple(additional)


def _renamed(name: bytes, start: int, dname: RR) -> LookupResult:
    """A DNAME record, and the alias that it makes of a name under it (RFC 6672 section 2.2)."""
    target = name[:start] + dname.rdata
    if len(target) > MAX_NAME:
        return LookupResult(YXDOMAIN, answer=(dname,))
    return LookupResult(answer=(dname, RR(name, CNAME, dname.ttl, target)), chase=target)
