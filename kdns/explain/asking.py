"""What a question for a name would get from the cluster's DNS. Pure: nothing is sent."""

from typing import NamedTuple

from kdns.explain.dns.cluster_dns import ClusterDns
from kdns.explain.dns.differences import of_coredns
from kdns.explain.objects import Key
from kdns.records.answers import Answers
from kdns.records.present import rdata_text
from kdns.records.reasons import Missing, Reason
from kdns.wire.name import name_text, parse_name
from kdns.wire.rcodes import rcode_text
from kdns.wire.types import type_number


class Asked(NamedTuple):
    """One question with its answer."""

    name: str
    """Absolute, with its final dot."""
    rtype: str
    rcode: str
    """Empty: it is not known, since an upstream answers."""
    values: tuple[str, ...] = ()
    """Of the records of the answer."""
    source: Key | None = None
    """The object that the answer is from, or that lacks what was asked for."""
    missing: Missing | None = None
    chase: str = ""
    """The CNAME's target outside of the cluster."""
    plugin: str = "kubernetes"
    """Which plugin of the server answered."""

    @property
    def says(self) -> str:
        """The answer in a few words."""
        if self.values:
            return ", ".join(self.values)
        if not self.rcode:
            return "asked of the upstream"
        return "no data" if self.rcode == "NOERROR" else self.rcode


def ask(answers: Answers, name: str, rtype: str) -> Asked:
    """Look a name up. An invalid name is NXDOMAIN: a resolver does not ask for it."""
    try:
        wire = parse_name(name)
    except ValueError:
        return Asked(name, rtype, "NXDOMAIN")
    result = answers.lookup(wire, type_number(rtype) or 0)
    if isinstance(result, Missing):
        return Asked(name, rtype, "" if result.reason is Reason.OUTSIDE else "NXDOMAIN", missing=result)
    if result.fallthrough:
        return Asked(name, rtype, "", missing=result.missing)
    values = tuple(rdata_text(rrset.rtype, rdata) for rrset in result.answer for rdata in rrset.rdatas)
    source = result.answer[0].source if result.answer else result.missing.object if result.missing else None
    key = Key(source.kind, source.namespace, source.name) if source is not None else None
    chase = name_text(result.chase) if result.chase else ""
    return Asked(name, rtype, rcode_text(result.rcode), values, key, result.missing, chase)


def ask_server(dns: ClusterDns, answers: Answers, name: str, rtype: str, client: str) -> Asked:
    """Ask the server's own chain: other plugins may answer before `kubernetes`, and CoreDNS otherwise than kdns."""
    known = ask(answers, name, rtype)
    number = type_number(rtype) or 0
    try:
        wire = parse_name(name)
    except ValueError:
        return known
    asked = dns.ask(name, number, client=client)
    if asked.response is None:
        return Asked(name, rtype, "")
    rcode = rcode_text(asked.response.rcode)
    if asked.last == "kubernetes":
        other = of_coredns(answers, wire, number) if dns.server.software == "CoreDNS" else None
        values = known.values if other is None or other.records else ()
        return known._replace(rcode=rcode_text(other.rcode) if other else rcode, values=values)
    values = tuple(rdata_text(rr.rtype, rr.rdata) for rr in asked.response.answer)
    return Asked(name, rtype, rcode, values, missing=known.missing, plugin=asked.last)
