"""Extended errors of the cluster's names: what is said, and to whom."""

import pytest

from kdns.base.objects import ObjectKey
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.extended_error import LONGEST, extended_error
from kdns.dns.plugins import kubernetes
from kdns.dns.plugins.kubernetes import built
from kdns.records.clients import Unidentified
from kdns.records.reasons import Missing, Reason
from kdns.wire.name import label
from kdns.wire.numbers import EDE, NOERROR, NXDOMAIN, SERVFAIL
from kdns.wire.query import Edns, edns_options
from tests.build import pod, tcp, view
from tests.dns.parts import FakeParts
from tests.dns.plugins.asking import client, handler, mistakes, question, request
from tests.records.zone_text import blank, cluster

EDNS = Edns(1232, 0, False)
NO_PORT = "0 Service shop/cart has no port _dns with the protocol _udp"
OPTIONS = KubernetesOptions(pods="verified", explain=True, by_client=True)
CLUSTER = (
    view("shop/cart", ["10.96.0.7"], [tcp(80, "http")]),
    view("bank/vault", ["10.96.0.8"], [tcp(80, "http")]),
    pod("shop/client", "10.1.0.7"),
    pod("bank/teller", "10.1.0.8"),
)


def text_of(options: bytes) -> str:
    """``CODE TEXT`` of the extended error; empty without one."""
    errors = [data for code, data in edns_options(options) if code == EDE]
    return f"{int.from_bytes(errors[0][:2])} {errors[0][2:].decode()}" if errors else ""


@pytest.mark.parametrize(
    ("name", "address", "said"),
    [
        ("crat.shop.svc.cluster.local.", "10.1.0.7", "0 no Service crat in Namespace shop"),
        ("_dns._udp.cart.shop.svc.cluster.local.", "10.1.0.7", NO_PORT),
        ("crat.shop.svc.cluster.local.", "10.1.0.8", ""),  # another Namespace's
        ("_dns._udp.cart.shop.svc.cluster.local.", "10.1.0.8", ""),
        ("cart.nowhere.svc.cluster.local.", "10.1.0.7", ""),  # which Namespaces there are is not theirs to know
        ("crat.shop.svc.cluster.local.", "192.0.2.1", ""),  # not a Pod
        ("a.b.c.d.cluster.local.", "10.1.0.7", "0 the schema has no names of this form"),
        ("a.b.c.d.cluster.local.", "192.0.2.1", ""),
        ("cart.shop.svc.cluster.local.", "10.1.0.7", ""),  # an answer needs no reason
    ],
)  # fmt: skip
async def test_a_client_is_told_of_its_own_namespace(name: str, address: str, said: str) -> None:
    """No other Namespace's objects are named, and whether another Namespace exists is not said either."""
    made = built(cluster(*CLUSTER, options=OPTIONS), explain=True)
    reply = await handler(made)(request(name, EDNS, client(address)))
    assert text_of(reply.options) == said


async def test_without_edns_there_is_no_option() -> None:
    """RFC 6891 section 7: no OPT in a reply to a query without one."""
    made = built(cluster(*CLUSTER, options=OPTIONS), explain=True)
    assert not (await handler(made)(request("crat.shop.svc.cluster.local.", None, client("10.1.0.7")))).options


async def test_without_explain_nothing_is_said() -> None:
    """It is off by default."""
    made = built(cluster(*CLUSTER, options=OPTIONS))
    assert not (await handler(made)(request("crat.shop.svc.cluster.local.", EDNS, client("10.1.0.7")))).options


async def test_a_server_that_is_not_synced_says_so_to_all() -> None:
    """RFC 8914 section 4.15: Not Ready."""
    answers = blank(OPTIONS)
    answers.synced = False
    reply = await handler(built(answers, explain=True))(request("cart.shop.svc.cluster.local.", EDNS, client()))
    assert (reply.rcode, text_of(reply.options)) == (SERVFAIL, "14 the cluster is not listed yet")


def test_errors_take_the_slow_path_and_answers_the_fast_one() -> None:
    """What an error says depends on the client; answers do not."""
    explained, plain = (built(cluster(*CLUSTER, options=OPTIONS), explain=explain) for explain in (True, False))
    assert explained.precompiled is not None
    assert plain.precompiled is not None
    assert explained.precompiled(question("crat.shop.svc.cluster.local.", EDNS)) is None
    assert explained.precompiled(question("cart.shop.svc.cluster.local.", EDNS)) is not None
    assert plain.precompiled(question("crat.shop.svc.cluster.local.", EDNS)) is not None


def test_explain_needs_to_know_the_pods() -> None:
    """A directive that could never say anything is a mistake."""
    assert "explain cannot know which Pod asks" in mistakes(
        kubernetes, "kubernetes cluster.local {\n explain\n}", FakeParts()
    )


def test_a_long_reason_is_cut_between_characters() -> None:
    """The text is UTF-8, and the reply must still fit."""
    missing = Missing(Reason.NOT_READY, ObjectKey("Service", "shop", "é" * 300))
    option = extended_error(missing, NXDOMAIN, label("shop"), synced=True)
    ((code, data),) = edns_options(option)
    assert code == EDE
    assert len(data) <= LONGEST + 2
    assert data[2:].decode()


@pytest.mark.parametrize(
    ("missing", "rcode", "namespace"),
    [
        (Missing(Reason.SERVICE, labels=b"\x04crat\x04shop"), NXDOMAIN, Unidentified.UNKNOWN),
        (Missing(Reason.SERVICE, labels=b"\x04crat\x04shop"), NOERROR, label("shop")),
        (None, NXDOMAIN, label("shop")),
    ],
)
def test_what_is_not_said(missing: Missing | None, rcode: int, namespace: bytes | Unidentified) -> None:
    """To clients that are not known, with answers, and where no reason is known."""
    assert extended_error(missing, rcode, namespace, synced=True) == b""
