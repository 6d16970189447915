"""Why there is no such record: objects, options and a question make a reason, and from it come rcode, code and text."""

from typing import NamedTuple

import pytest

from kdns.base.objects import ObjectKey
from kdns.config.settings import KubernetesOptions
from kdns.records.answers import Answers
from kdns.records.external import External, ExternalOptions
from kdns.records.reasons import Missing, Reason
from kdns.records.rrset import Result
from kdns.wire.name import parse_name
from kdns.wire.numbers import NOERROR, NXDOMAIN, SERVFAIL
from tests.build import Endpoint, Thing, imported, namespace, orphan, slice_, tcp, udp, view
from tests.records.zone_text import RTYPES, cluster, parse_question

SVC = "svc.cluster.local."
SET = "svc.clusterset.local."
OBJECTS: tuple[Thing, ...] = (
    namespace("empty"),
    view("shop/web", ("10.96.0.9",), (tcp(80, "http"), udp(53, "dns")), ("10.244.0.1",), outside=("203.0.113.1",)),
    view("shop/idle", ("10.96.0.10",), (tcp(80, "http"),)),
    view("shop/new", (), (tcp(80, "http"),)),
    view("shop/db", ("None",), (tcp(5432, "pg"),), (Endpoint("10.244.0.2", "db-0", zone="east"),)),
    view("shop/dead", ("None",), (tcp(80, "http"),)),
    view("shop/alias", external="www.example.com"),
    view("shop/literal", external="192.0.2.7"),
    view("shop/self", external="self.shop.svc.cluster.local"),
    view("shop/lost", external="nobody.shop.svc.cluster.local"),
    view("shop/lb", ("10.96.0.11",), (tcp(80, "http"),), outside=("lb..example.com",)),
    orphan(slice_("shop/gone-1", "gone", ("10.244.0.3",))),
    imported("shop/far", ("None",), (tcp(80, "http"),), {"east": ("10.1.0.1",)}),
    imported("shop/bare", ("10.112.0.1",)),
)
ALL = KubernetesOptions(
    zones=("cluster.local.", "clusterset.local.", "in-addr.arpa."),
    multicluster=("clusterset.local.",),
    pods="verified",
    zonal=True,
    external=True,
)
FEW = KubernetesOptions(namespaces=("other",), pods="verified")
SELECTED = KubernetesOptions(namespace_labels="dns=yes")
IGNORING = KubernetesOptions(ignore_empty_service=True)


class Case(NamedTuple):
    question: str
    reason: Reason
    text: str
    about: str = ""
    """The object that is missing, or that lacks what was asked for; empty for none."""
    options: KubernetesOptions = ALL


WEB, DB = "Service shop/web", "Service shop/db"
CASES = (
    Case("www.example.com. A", Reason.OUTSIDE, "the name is in no zone of this server"),
    # names that exist
    Case("cluster.local. A", Reason.WRONG_TYPE, "the name has no records of this type"),
    Case(f"{SVC} A", Reason.EMPTY, "there are names below this one, and nothing at it"),
    Case("dns.cluster.local. A", Reason.EMPTY, "there are names below this one, and nothing at it"),
    Case(f"empty.{SVC} A", Reason.EMPTY, "there are names below this one, and nothing at it"),
    Case(f"_tcp.web.shop.{SVC} A", Reason.EMPTY, "there are names below this one, and nothing at it", WEB),
    Case(f"east.far.shop.{SET} A", Reason.EMPTY, "there are names below this one, and nothing at it",
         "ServiceImport shop/far"),
    Case(f"_zone.db.shop.{SVC} A", Reason.EMPTY, "there are names below this one, and nothing at it", DB),
    Case("96.10.in-addr.arpa. PTR", Reason.EMPTY, "there are names below this one, and nothing at it"),
    Case(f"web.shop.{SVC} AAAA", Reason.FAMILY, f"{WEB} has no address of this family", WEB),
    Case(f"db-0.db.shop.{SVC} AAAA", Reason.FAMILY, f"{DB} has no address of this family", DB),
    Case(f"web.shop.{SVC} TXT", Reason.WRONG_TYPE, "the name has no records of this type", WEB),
    Case(f"db.shop.{SVC} TXT", Reason.WRONG_TYPE, "the name has no records of this type", DB),
    Case("9.0.96.10.in-addr.arpa. A", Reason.WRONG_TYPE, "the name has no records of this type", WEB),
    Case(f"literal.shop.{SVC} A", Reason.NO_TARGET,
         "Service shop/literal: the name it points at is an address or not a domain name", "Service shop/literal"),
    Case(f"west.pin._zone.db.shop.{SVC} A", Reason.TOPOLOGY_ZONE, f"{DB} has no ready endpoint in the zone west", DB),
    Case(f"b.a.pin._zone.db.shop.{SVC} A", Reason.TOPOLOGY_ZONE, f"{DB} has no ready endpoint in the zone b.a", DB),
    # names that do not
    Case("web.shop.cluster.local. A", Reason.SCHEMA, "the schema has no names of this form"),
    Case(f"a.b.c.web.shop.{SVC} A", Reason.SCHEMA, "the schema has no names of this form"),
    Case(f"web.shopp.{SVC} A", Reason.NAMESPACE, "no Namespace shopp", "Namespace shopp"),
    Case(f"shopp.{SVC} A", Reason.NAMESPACE, "no Namespace shopp", "Namespace shopp"),
    Case(f"web.shop.{SVC} A", Reason.NAMESPACE_NOT_EXPOSED,
         "the options `namespaces` or `namespace_labels` leave out Namespace shop", "Namespace shop", FEW),
    Case("10-0-0-1.shop.pod.cluster.local. A", Reason.NAMESPACE_NOT_EXPOSED,
         "the options `namespaces` or `namespace_labels` leave out Namespace shop", "Namespace shop", FEW),
    Case(f"cart.shop.{SVC} A", Reason.SERVICE, "no Service cart in Namespace shop", "Service shop/cart"),
    Case(f"x.cart.shop.{SVC} A", Reason.SERVICE, "no Service cart in Namespace shop", "Service shop/cart"),
    Case(f"gone.shop.{SVC} A", Reason.SERVICE, "no Service gone in Namespace shop", "Service shop/gone"),
    Case(f"web.shop.{SET} A", Reason.SERVICE_IMPORT, "no ServiceImport web in Namespace shop",
         "ServiceImport shop/web"),
    Case(f"x.alias.shop.{SVC} A", Reason.BELOW_ALIAS,
         "Service shop/alias is of type ExternalName, which has no names below its own", "Service shop/alias"),
    Case(f"new.shop.{SVC} A", Reason.NO_CLUSTER_IP, "Service shop/new has no cluster IP", "Service shop/new"),
    Case(f"bare.shop.{SET} A", Reason.NO_PORTS, "ServiceImport shop/bare has neither ports nor is it headless",
         "ServiceImport shop/bare"),
    Case(f"dead.shop.{SVC} A", Reason.NOT_READY, "Service shop/dead is headless and has no ready endpoint",
         "Service shop/dead"),
    Case(f"idle.shop.{SVC} A", Reason.IGNORED,
         "Service shop/idle has no ready endpoint, and the option `ignore empty_service` leaves it out",
         "Service shop/idle", IGNORING),
    Case(f"db-9.db.shop.{SVC} A", Reason.NO_ENDPOINT, f"{DB} has no ready endpoint db-9", DB),
    Case(f"db-0.west.far.shop.{SET} A", Reason.NO_ENDPOINT, "ServiceImport shop/far has no ready endpoint db-0.west",
         "ServiceImport shop/far"),
    Case(f"_https._tcp.web.shop.{SVC} SRV", Reason.NO_PORT, f"{WEB} has no port _https with the protocol _tcp", WEB),
    Case(f"_http._udp.web.shop.{SVC} SRV", Reason.NO_PORT, f"{WEB} has no port _http with the protocol _udp", WEB),
    Case(f"_pg._udp.db.shop.{SVC} SRV", Reason.NO_PORT, f"{DB} has no port _pg with the protocol _udp", DB),
    Case("10-0-0-1.shop.pod.cluster.local. A", Reason.PODS_DISABLED,
         "Pods have no names: the option `pods` is `disabled`", "", IGNORING),
    Case("web.shop.pod.cluster.local. A", Reason.NOT_AN_ADDRESS, "the name does not spell an address"),
    Case("x.96.10.in-addr.arpa. PTR", Reason.NOT_AN_ADDRESS, "the name does not spell an address"),
    Case("10-0-0-1.shop.pod.cluster.local. A", Reason.POD, "no Pod in Namespace shop has the address 10-0-0-1"),
    Case("1.2.0.192.in-addr.arpa. PTR", Reason.ADDRESS, "no Service and no ready endpoint has this address"),
    # chains of CNAMEs
    Case(f"lost.shop.{SVC} A", Reason.SERVICE, "no Service nobody in Namespace shop", "Service shop/nobody"),
    Case(f"self.shop.{SVC} A", Reason.LOOP, "Service shop/self: the chain of CNAMEs loops or is too long",
         "Service shop/self"),
    # with namespace_labels a Service in a Namespace proves nothing
    Case(f"web.shop.{SVC} A", Reason.NAMESPACE_NOT_EXPOSED,
         "the options `namespaces` or `namespace_labels` leave out Namespace shop", "Namespace shop", SELECTED),
)  # fmt: skip
EXTERNAL_CASES = (
    Case("db.shop.example.org. A", Reason.NOT_OUTSIDE, f"{DB} has no address outside of the cluster", DB),
    Case("cart.shop.example.org. A", Reason.SERVICE, "no Service cart in Namespace shop", "Service shop/cart"),
    Case("web.shopp.example.org. A", Reason.NAMESPACE, "no Namespace shopp", "Namespace shopp"),
    Case("shop.example.org. A", Reason.EMPTY, "there are names below this one, and nothing at it"),
    Case("web.shop.example.org. TXT", Reason.WRONG_TYPE, "the name has no records of this type", WEB),
    Case("web.shop.example.org. AAAA", Reason.FAMILY, f"{WEB} has no address of this family", WEB),
    Case("_x._tcp.web.shop.example.org. SRV", Reason.NO_PORT, f"{WEB} has no port _x with the protocol _tcp", WEB),
    Case("lb.shop.example.org. A", Reason.NO_TARGET,
         "Service shop/lb: the name it points at is an address or not a domain name", "Service shop/lb"),
    Case("x.dns.example.org. A", Reason.SCHEMA, "the schema has no names of this form"),
    Case("www.example.com. A", Reason.OUTSIDE, "the name is in no zone of this server"),
)  # fmt: skip


def zone(options: KubernetesOptions) -> Answers:
    """The objects under some options; the Namespaces of the Services are not listed where labels select them."""
    return cluster(*OBJECTS, options=options, spaces=not options.namespace_labels)


def why(found: Result | Missing) -> Missing:
    """The reason of a lookup that found nothing."""
    if isinstance(found, Missing):
        return found
    assert found.missing is not None
    return found.missing


def check(case: Case, missing: Missing) -> None:
    """A reason is as a case has it."""
    assert (missing.reason, str(missing)) == (case.reason, case.text)
    assert str(missing.object or "") == case.about


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.question} {case.reason.name}")
def test_reasons(case: Case) -> None:
    """Which reason a lookup gives, in words, and about which object."""
    check(case, why(zone(case.options).lookup(*parse_question(case.question))))


@pytest.mark.parametrize("case", EXTERNAL_CASES, ids=lambda case: f"{case.question} {case.reason.name}")
def test_reasons_outside_of_the_cluster(case: Case) -> None:
    """The same for the names of k8s_external."""
    external = External(zone(ALL).zone, ExternalOptions((parse_name("example.org."),), b"\3dns", 5, False))
    check(case, why(external.lookup(*parse_question(case.question))))


def test_octets_that_are_not_a_name() -> None:
    """They are not in any zone."""
    assert why(zone(ALL).lookup(b"\3web", RTYPES["A"])).reason is Reason.NOT_A_NAME


def test_every_reason_is_given() -> None:
    """Each has a case in this file."""
    given = {case.reason for case in (*CASES, *EXTERNAL_CASES)} | {Reason.NOT_A_NAME}
    assert given == set(Reason)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.question} {case.reason.name}")
def test_the_rcode_follows_from_the_reason(case: Case) -> None:
    """NXDOMAIN says that nothing is at the name or below it (RFC 8020); until all is known, nothing can say that."""
    answers = zone(case.options)
    result = answers.lookup(*parse_question(case.question))
    if isinstance(result, Missing):
        return
    rcodes = {NOERROR: NOERROR, SERVFAIL: SERVFAIL, NXDOMAIN: SERVFAIL}
    assert result.rcode == case.reason.rcode
    answers.synced = False
    unsynced = answers.lookup(*parse_question(case.question))
    assert isinstance(unsynced, Result)
    assert unsynced.rcode == rcodes[case.reason.rcode]
    assert unsynced.missing == result.missing


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.NAMESPACE, "E01"),
        (Reason.SERVICE, "E01"),
        (Reason.OUTSIDE, "E04"),
        (Reason.NAMESPACE_NOT_EXPOSED, "E07"),
        (Reason.NO_TARGET, "E09"),
        (Reason.LOOP, "E09"),
        (Reason.NOT_READY, "E10"),
        (Reason.NO_PORT, "E21"),
        (Reason.FAMILY, "E28"),
        (Reason.EMPTY, ""),
    ],
)
def test_codes(reason: Reason, code: str) -> None:
    """The codes of `kdns explain`, of which others read the output."""
    assert reason.code == code


def test_what_is_there_has_a_source_and_no_reason() -> None:
    """Either the one or the other."""
    result = zone(ALL).lookup(*parse_question(f"web.shop.{SVC} A"))
    assert isinstance(result, Result)
    assert result.missing is None
    assert result.answer[0].source == ObjectKey("Service", "shop", "web")


def test_a_label_of_any_octets_has_a_text() -> None:
    """Names come from clients: octets outside ASCII, braces and dots in labels break nothing."""
    missing = why(zone(ALL).lookup(b"\4a{0}\2\xff.\3svc\7cluster\5local\0", RTYPES["A"]))
    assert str(missing) == "no Namespace \\xff."
