"""Names of Pods in the three modes: disabled, insecure, verified."""

from typing import NamedTuple

import pytest

from kdns.config.settings import KubernetesOptions, PodMode
from tests.build import change, pod
from tests.records.shop import SHOP
from tests.records.zone_text import ask, cluster, expected, present


class Case(NamedTuple):
    title: str
    question: str
    disabled: str
    insecure: str
    verified: str


def _a(name: str, rtype: str, address: str) -> str:
    return f"{name} 5 IN {rtype} {address}"


SIX = "fd00-10-244-1--a.shop.pod.cluster.local."

CASES = (
    Case(
        "the address of a Pod that runs",
        "10-244-1-4.shop.pod.cluster.local. A",
        "NXDOMAIN",
        _a("10-244-1-4.shop.pod.cluster.local.", "A", "10.244.1.4"),
        _a("10-244-1-4.shop.pod.cluster.local.", "A", "10.244.1.4"),
    ),
    Case("of the other family", "10-244-1-4.shop.pod.cluster.local. AAAA", "NXDOMAIN", "NODATA", "NODATA"),
    Case("an IPv6 address", f"{SIX} AAAA", "NXDOMAIN", *[_a(SIX, "AAAA", "fd00:10:244:1::a")] * 2),
    Case("an IPv6 address has no A", f"{SIX} A", "NXDOMAIN", "NODATA", "NODATA"),
    Case(
        "an address that no Pod has",
        "192-0-2-1.shop.pod.cluster.local. A",
        "NXDOMAIN",
        _a("192-0-2-1.shop.pod.cluster.local.", "A", "192.0.2.1"),
        "NXDOMAIN",
    ),
    Case(
        "the address of a Pod in another Namespace",
        "10-244-1-4.empty.pod.cluster.local. A",
        "NXDOMAIN",
        _a("10-244-1-4.empty.pod.cluster.local.", "A", "10.244.1.4"),
        "NXDOMAIN",
    ),
    Case(
        "another spelling of a Pod's IPv6 address",
        "fd00-10-244-1-0-0-0-a.shop.pod.cluster.local. AAAA",
        "NXDOMAIN",
        _a("fd00-10-244-1-0-0-0-a.shop.pod.cluster.local.", "AAAA", "fd00:10:244:1::a"),
        "NXDOMAIN",
    ),
    Case(
        "three dashes, two of them side by side: IPv6",
        "1--2-3.shop.pod.cluster.local. AAAA",
        "NXDOMAIN",
        _a("1--2-3.shop.pod.cluster.local.", "AAAA", "1::2:3"),
        "NXDOMAIN",
    ),
    Case("a Namespace that does not exist", "10-244-1-4.nowhere.pod.cluster.local. A", *["NXDOMAIN"] * 3),
    Case("what is no address", "web.shop.pod.cluster.local. A", *["NXDOMAIN"] * 3),
    Case("the name of a Pod", "web-6b7.shop.pod.cluster.local. A", *["NXDOMAIN"] * 3),
    Case("an octet over 255", "10-244-1-256.shop.pod.cluster.local. A", *["NXDOMAIN"] * 3),
    Case("an octet with a leading zero", "10-244-1-04.shop.pod.cluster.local. A", *["NXDOMAIN"] * 3),
    Case("too few octets", "10-244-1.shop.pod.cluster.local. A", *["NXDOMAIN"] * 3),
    Case("a label left of it", "x.10-244-1-4.shop.pod.cluster.local. A", *["NXDOMAIN"] * 3),
    Case("two labels left of it", "_http._tcp.10-244-1-4.shop.pod.cluster.local. SRV", *["NXDOMAIN"] * 3),
    Case("an SRV question", "10-244-1-4.shop.pod.cluster.local. SRV", "NXDOMAIN", "NODATA", "NODATA"),
    Case("a TXT question", "10-244-1-4.shop.pod.cluster.local. TXT", "NXDOMAIN", "NODATA", "NODATA"),
    Case("a SOA question", "10-244-1-4.shop.pod.cluster.local. SOA", "NXDOMAIN", "NODATA", "NODATA"),
    Case("a Namespace of Pods", "shop.pod.cluster.local. A", "NXDOMAIN", "NODATA", "NODATA"),
    Case("a Namespace without Pods", "empty.pod.cluster.local. A", "NXDOMAIN", "NODATA", "NODATA"),
    Case("a Namespace that does not exist, itself", "nowhere.pod.cluster.local. A", *["NXDOMAIN"] * 3),
    Case("all Pods", "pod.cluster.local. A", *["NODATA"] * 3),
)
MODES: tuple[PodMode, ...] = ("disabled", "insecure", "verified")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.question}: {case.title}")
def test_pod_names(case: Case, mode: PodMode) -> None:
    """In this mode this question has exactly this answer."""
    answers = cluster(*SHOP, options=KubernetesOptions(pods=mode))
    wanted = {"disabled": case.disabled, "insecure": case.insecure, "verified": case.verified}[mode]
    assert present(ask(answers, case.question)) == expected(wanted)


def test_a_verified_pod_comes_and_goes_with_its_object() -> None:
    """Created, moved to another address, deleted: each shows at once."""
    answers = cluster(*SHOP, options=KubernetesOptions(pods="verified"))
    old, new = pod("shop/late", "10.244.7.7"), pod("shop/late", "10.244.7.8")
    question = "10-244-7-{}.shop.pod.cluster.local. A".format

    def there(last: int) -> bool:
        return present(ask(answers, question(last))) != ["NXDOMAIN"]

    assert not there(7)
    answers.apply(change(None, old), 1)
    assert there(7)
    answers.apply(change(old, new), 2)
    assert (there(7), there(8)) == (False, True)
    answers.apply(change(new, None), 3)
    assert not there(8)


def test_two_pods_may_share_an_address() -> None:
    """Host-network Pods share their node's: the name stays until the last of them is gone."""
    first, second = pod("shop/one", "10.244.8.8"), pod("shop/two", "10.244.8.8")
    answers = cluster(*SHOP, first, second, options=KubernetesOptions(pods="verified"))
    answers.apply(change(first, None), 1)
    line = "10-244-8-8.shop.pod.cluster.local. 5 IN A 10.244.8.8"
    assert present(ask(answers, "10-244-8-8.shop.pod.cluster.local. A")) == [line]
