"""How what a kernel does with a packet differs from what the objects ask for. Pure.

Outcomes are compared, not texts: kube-proxy's rules and ours, of any release, are right if the packet gets where it
should. Who is to blame follows from where it ended: in a chain of the proxy, or in another program's.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from kdns.base.objects import address_text
from kdns.explain.kernel.model import Chain, Position, Table
from kdns.explain.kernel.outcome import Result
from kdns.explain.kernel.packet import Packet, Step
from kdns.explain.kernel.structure import Broken, broken_places, leading
from kdns.explain.kernel.walk import End
from kdns.nodelocal.nftables import TABLE as LOCAL_DNS
from kdns.proxy.model import Backend, Mode
from kdns.proxy.trace import Outcome

Kind = Literal["unknown", "foreign", "broken", "missing", "stale", "hairpin", "sticky"]
"""foreign: another program's rule decides. broken: a chain or jump that all Services need. missing, stale: rules of
this Service. hairpin: a backend that reaches itself is not masqueraded. sticky: an affinity set leads to a stale
backend."""


CATCH_ALL = ("cluster-ips-check", "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER", "KUBE-PROXY-FIREWALL")
"""Chains that refuse or drop what is sent to a service address and was not translated before."""


class Difference(NamedTuple):
    """One thing that differs."""

    kind: Kind
    says: str
    positions: tuple[Position, ...] = ()


def differences(
    wanted: Outcome, result: Result, packet: Packet, tables: Sequence[Table], mode: Mode
) -> list[Difference]:
    """All of them; none: the kernel does what the objects ask for."""
    if result.word == "unknown":
        return [_unknown(result)]
    if wanted.verdict == "untouched":
        return list(_untouched(result))
    if wanted.verdict in ("reject", "drop"):
        return list(_refusal(wanted, result, packet, tables, mode))
    return list(_sent(wanted, result, packet, tables, mode))


def ours(chain: Chain | None) -> bool:
    """A chain of a Service proxy; None: IPVS itself."""
    if chain is None:
        return True
    return chain.name.startswith("KUBE-") or (chain.table.origin == "nft" and chain.table.name == "kube-proxy")


def _unknown(result: Result) -> Difference:
    doubt = result.doubt
    if doubt is None or doubt.rule is None:
        return Difference("unknown", doubt.why if doubt else "the rules are not understood")
    where = f"{doubt.chain.table}, chain {doubt.chain.name}" if doubt.chain else "the rules"
    return Difference("unknown", f"{where} has a rule whose match is not known: {doubt.why}", (doubt.rule.position,))


def _untouched(result: Result) -> Iterator[Difference]:
    """Nothing should happen to the packet."""
    for end in result.ends:
        if end.packet.translated and _dnat_is_ours(end):
            to = Backend(end.packet.daddr, end.packet.dport)
            yield Difference("stale", f"the kernel still sends it to {to}, and no Service asks for that", _trail(end))
            return


def _refusal(
    wanted: Outcome, result: Result, packet: Packet, tables: Sequence[Table], mode: Mode
) -> Iterator[Difference]:
    """It should be refused, or dropped."""
    verb = "refuse" if wanted.verdict == "reject" else "drop"
    sent = [end for end in result.ends if end.packet.translated]
    if sent:
        stale = ", ".join(sorted({str(Backend(end.packet.daddr, end.packet.dport)) for end in sent}))
        says = f"the kernel still sends it to {stale}; it should {verb} it: {wanted.why}"
        yield Difference("stale", says, _trail(sent[0]))
        return
    for end in result.ends:
        if end.ending == wanted.verdict or (
            wanted.why.startswith("the source is in none") and end.ending == "forwarded"
        ):
            continue  # releases before 1.26 let it go on, to where the load balancer itself is
        if end.ending in ("drop", "reject"):
            if ours(end.chain):
                yield Difference("stale", f"the kernel does not {verb} it: {wanted.why}", _positions(end))
            else:
                yield Difference("foreign", _foreign(end), _positions(end))
            return
        broken = broken_places(tables, mode, "filter", own=packet.iif == "", family=packet.family)
        if broken:
            yield _broken(broken)
        else:
            yield Difference("missing", f"no rule is there to {verb} it: {wanted.why}")
        return


def _sent(wanted: Outcome, result: Result, packet: Packet, tables: Sequence[Table], mode: Mode) -> Iterator[Difference]:
    """It should be sent to one of the backends."""
    foreign = [end for end in result.ends if end.ending in ("drop", "reject") and not ours(end.chain)]
    if foreign:
        yield Difference("foreign", _foreign(foreign[0]), _positions(foreign[0]))
    own = [end for end in result.ends if end.ending in ("drop", "reject") and ours(end.chain)]
    refused = [end for end in own if not _is_catch_all(end)]
    if refused:
        verb = "refuses" if refused[0].ending == "reject" else "drops"
        yield Difference("stale", f"a rule still {verb} it, and the Service has endpoints", _positions(refused[0]))
    yield from _stale(wanted, result)
    untouched = [end for end in own if _is_catch_all(end)]
    untouched += [end for end in result.ends if end.ending not in ("drop", "reject") and not end.packet.translated]
    untouched = [end for end in untouched if not _answered_here(end)]
    if untouched:
        yield from _nowhere(untouched[0], packet, tables, mode)
    elif not foreign and not refused:
        yield from _missing(wanted, result)
    yield from _masquerade(wanted, result, packet, tables, mode)


def _is_catch_all(end: End) -> bool:
    """It is refused since no rule took it: by what refuses other ports of service addresses."""
    chain = end.chain.name if end.chain else ""
    return not end.packet.translated and chain in CATCH_ALL


def _answered_here(end: End) -> bool:
    """The node's own DNS has the address and answers itself, untracked: `kdns node --local-dns`, NodeLocal DNSCache."""
    if end.packet.tracked or end.packet.translated:
        return False
    return end.ending == "delivered" or any(_of_local_dns(step) for step in _steps(end))


def _of_local_dns(step: Step) -> bool:
    return LOCAL_DNS in step.table or step.chain.startswith("KDNS-DNS-")


def _steps(end: End) -> list[Step]:
    return end.packet.trail.all() if end.packet.trail else []


def _stale(wanted: Outcome, result: Result) -> Iterator[Difference]:
    """Backends that the kernel has and the objects have not."""
    reported: set[Backend] = set()
    for end in result.ends:
        backend = Backend(end.packet.daddr, end.packet.dport)
        if not end.packet.translated or backend in wanted.backends or backend in reported:
            continue
        reported.add(backend)
        if not _dnat_is_ours(end):
            chain = end.packet.trail.chain if end.packet.trail else ""
            yield Difference(
                "foreign", f"a rule of chain {chain} sends it to {backend}, before the proxy's", _trail(end)
            )
        elif _by_affinity(end):
            yield Difference(
                "sticky",
                f"session affinity sends the client to {backend}, which is not an endpoint (any more)",
                _trail(end),
            )
        else:
            share = f"{result.shares.get(backend, end.packet.share):.0%}"
            yield Difference(
                "stale", f"the kernel sends {share} to {backend}, which is not an endpoint to use", _trail(end)
            )


def _missing(wanted: Outcome, result: Result) -> Iterator[Difference]:
    """Backends that the objects have and the kernel has not."""
    if result.word != "dnat" or any(_by_affinity(end) for end in result.ends):
        return
    missing = [backend for backend in wanted.backends if backend not in result.shares]
    if missing:
        texts = ", ".join(str(backend) for backend in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        positions = _trail(result.ends[0]) if result.ends else ()
        yield Difference("missing", f"the kernel never sends anything to {texts}{more}", positions)


def _nowhere(end: End, packet: Packet, tables: Sequence[Table], mode: Mode) -> Iterator[Difference]:
    """No rule takes the packet."""
    broken = broken_places(tables, mode, "dnat", own=packet.iif == "", family=packet.family)
    if not end.packet.tracked:
        yield Difference("foreign", "a rule has the packet not tracked, so it is never translated", _trail(end))
    elif broken:
        yield _broken(broken)
    else:
        where = f"{address_text(packet.daddr)} port {packet.dport}/{packet.protocol.upper()}"
        says = f"the kernel has no rule that leads on from {where}"
        there = leading(tables, packet)
        if there:
            says = f"the kernel has a rule for {where}, and it leads nowhere"
        yield Difference("missing", says, tuple(there) or _trail(end))


def _masquerade(
    wanted: Outcome, result: Result, packet: Packet, tables: Sequence[Table], mode: Mode
) -> Iterator[Difference]:
    sent = [end for end in result.ends if end.packet.translated and end.ending == "forwarded"]
    itself = [end for end in sent if end.packet.daddr == packet.saddr and not end.packet.masqueraded]
    plain = [end for end in sent if end.packet.daddr != packet.saddr and not end.packet.masqueraded]
    if wanted.masquerade and plain:
        broken = broken_places(tables, mode, "masquerade", own=packet.iif == "", family=packet.family)
        to = Backend(plain[0].packet.daddr, plain[0].packet.dport)
        if broken:
            yield _broken(broken)
        else:
            says = f"what goes to {to} is not masqueraded, so the answers do not come back this way"
            yield Difference("missing", says, _trail(plain[0]))
    elif itself:
        broken = broken_places(tables, mode, "masquerade", own=packet.iif == "", family=packet.family)
        to = Backend(itself[0].packet.daddr, itself[0].packet.dport)
        if broken:
            yield _broken(broken)
        says = f"{to} reaches itself through the Service and is not masqueraded: it would answer itself directly"
        yield Difference("hairpin", says, _trail(itself[0]))


def _broken(broken: Sequence[Broken]) -> Difference:
    first = broken[0]
    return Difference("broken", first.says, tuple(one.position for one in broken if one.position is not None))


def _foreign(end: End) -> str:
    verb = "drops" if end.ending == "drop" else "refuses"
    to = Backend(end.packet.daddr, end.packet.dport)
    moved = f" on its way to {to}" if end.packet.translated else ""
    if end.rule is None and end.chain is not None:
        return f"{end.chain.table}: chain {end.chain.name} has the policy {end.chain.policy}, which {verb} it{moved}"
    where = f"{end.chain.table}, chain {end.chain.name}" if end.chain else "a rule"
    return f"a rule of {where} {verb} it{moved}"


def _dnat_is_ours(end: End) -> bool:
    """The rule that translated it is a Service proxy's."""
    steps = end.packet.trail.all() if end.packet.trail else []
    return any(
        step.translates
        and (
            step.chain.startswith(("KUBE-", "IPVS"))
            or (step.table.startswith("table ip") and "kube-proxy" in step.table)
        )
        for step in steps
    )


def _by_affinity(end: End) -> bool:
    steps = end.packet.trail.all() if end.packet.trail else []
    return any("@affinity-" in step.rule.position.text and "saddr @" in step.rule.position.text for step in steps)


def _positions(end: End) -> tuple[Position, ...]:
    if end.rule is not None:
        return (end.rule.position,)
    return (end.chain.position,) if end.chain is not None else ()


def _trail(end: End) -> tuple[Position, ...]:
    """Where it went: the rule that translated it first, then those that led there; else the last rules first."""
    steps = end.packet.trail.all() if end.packet.trail else []
    place = next((at for at, step in enumerate(steps) if step.translates), len(steps) - 1)
    return tuple(dict.fromkeys(step.rule.position for step in steps[: place + 1][::-1]))
