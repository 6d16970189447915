"""The tracker and the claims: whatever the order of events, the end is the same."""

from itertools import permutations

from hypothesis import given
from hypothesis.strategies import just, lists, none, one_of, sampled_from, tuples
from msgspec.structs import replace

from kdns.base.objects import UNKNOWN_AGE, Age
from kdns.proxy.changes import ChangeTracker, Pending
from kdns.proxy.conflicts import FrontendConflicts
from kdns.proxy.model import Entry, Frontend, Path, ServicePortName, ServicePortRules
from kdns.proxy.rules import rule_set
from tests.build import State, proxied, tcp
from tests.proxy.walk import policy, rules_of

KEYS = sampled_from("abc")
VALUES = one_of(none(), sampled_from((1, 2, 3)))


@given(lists(one_of(tuples(just("update"), KEYS, VALUES), tuples(just("checkout")), tuples(just("commit")))))
def test_whatever_happens_the_next_round_catches_up(steps: list[tuple[object, ...]]) -> None:
    """After any interleaving, one more checkout and commit leaves the kernel with the newest values."""
    tracker: ChangeTracker[str, int] = ChangeTracker()
    newest: dict[str, int | None] = {}
    kernel: dict[str, int | None] = {}
    taken: list[Pending[str, int]] = []
    for step in steps:
        match step:
            case ("update", str(key), (int() | None) as value):
                tracker.update(key, value)
                newest[key] = value
            case ("checkout",):
                taken = tracker.checkout()
            case _:
                kernel.update({change.key: change.after for change in taken})
                tracker.commit(taken)
                taken = []
    kernel.update({change.key: change.after for change in tracker.checkout()})
    assert {k: v for k, v in newest.items() if v is not None} == {k: v for k, v in kernel.items() if v is not None}


def test_there_and_back_is_nothing_to_do() -> None:
    """A flap between two rounds leaves nothing pending."""
    tracker: ChangeTracker[str, int] = ChangeTracker()
    tracker.update("a", 1)
    tracker.commit(tracker.checkout())
    assert tracker.update("a", 2)
    assert not tracker.update("a", 1)
    assert tracker.checkout() == []


def claimant(path: str, ip: str, *external: str, lb: tuple[str, ...] = ()) -> ServicePortRules:
    """The rules of a Service with one port and external IPs."""
    service = proxied(path, (ip,), (tcp(80),), external_ips=external, lb=lb)
    return next(iter(rules_of(service, (State("10.244.0.5"),)).ports.values()))


VICTIM = claimant("kube-system/kube-dns", "10.96.0.10")
THIEF = claimant("aaa/thief", "10.96.0.66", "10.96.0.10", "203.0.113.5")
LATER = claimant("bbb/later", "10.96.0.67", "203.0.113.5")


def shares(claims: FrontendConflicts, *known: ServicePortRules) -> dict[str, list[str]]:
    """Who has which frontends."""
    return {
        str(rules.name): [
            f"{entry.frontend.way} {'.'.join(map(str, entry.frontend.address))}"
            for entry in claims.granted(rules)[0].entries
        ]
        for rules in known
    }


def test_nobody_takes_over_a_cluster_ip_and_the_first_name_gets_the_rest() -> None:
    """In every order of events."""
    for order in permutations((VICTIM, THIEF, LATER)):
        claims = FrontendConflicts()
        for rules in order:
            claims.update(rules.name, rules)
        assert shares(claims, VICTIM, THIEF, LATER) == {
            "kube-system/kube-dns": ["cluster IP 10.96.0.10"],
            "aaa/thief": ["cluster IP 10.96.0.66", "external IP 203.0.113.5"],
            "bbb/later": ["cluster IP 10.96.0.67"],
        }


def test_what_all_others_need_is_written_first() -> None:
    """The API server's Service, then DNS, then the others by name."""
    paths = ("aaa/first", "kube-system/kube-dns", "default/kubernetes", "zzz/last")
    rules = [claimant(path, f"10.96.0.{n + 1}") for n, path in enumerate(paths)]
    for order in permutations(rules):
        written = rule_set(order, policy().node).ports
        assert list(map(str, written)) == ["default/kubernetes", "kube-system/kube-dns", "aaa/first", "zzz/last"]


def test_an_external_ip_takes_no_load_balancers_address() -> None:
    """Whose source ranges it would get around, too; the thief's name sorts first."""
    balanced = claimant("shop/web", "10.96.0.11", lb=("198.51.100.20",))
    thief = claimant("aaa/thief", "10.96.0.66", "198.51.100.20")
    for order in permutations((balanced, thief)):
        claims = FrontendConflicts()
        for rules in order:
            claims.update(rules.name, rules)
        assert shares(claims, balanced, thief) == {
            "shop/web": ["cluster IP 10.96.0.11", "load balancer IP 198.51.100.20"],
            "aaa/thief": ["cluster IP 10.96.0.66"],
        }


def test_what_the_owner_gives_up_goes_to_the_next() -> None:
    """And the next is told to look again."""
    claims = FrontendConflicts()
    for rules in (VICTIM, THIEF, LATER):
        claims.update(rules.name, rules)
    assert claims.update(THIEF.name, None) == {VICTIM.name, LATER.name}
    assert shares(claims, LATER) == {"bbb/later": ["cluster IP 10.96.0.67", "external IP 203.0.113.5"]}
    lost = FrontendConflicts()
    lost.update(THIEF.name, THIEF)
    assert lost.update(VICTIM.name, VICTIM) == {THIEF.name}
    (gone,) = lost.granted(THIEF)[1]
    assert gone.owner == ServicePortName("kube-system", "kube-dns", "", "TCP")


def test_the_older_service_keeps_an_address() -> None:
    """By creationTimestamp, then uid, then name, whatever the order of events; cluster IPs stay above all."""
    old, young = Age("2026-01-01T00:00:00Z", "b"), Age("2026-06-01T00:00:00Z", "a")
    cases = (
        ((THIEF, young), (LATER, old), LATER),
        ((THIEF, old), (LATER, young), THIEF),
        ((THIEF, Age(old.created, "b")), (LATER, Age(old.created, "a")), LATER),
        ((THIEF, old), (LATER, old), THIEF),
        ((THIEF, UNKNOWN_AGE), (LATER, young), LATER),
        ((THIEF, UNKNOWN_AGE), (LATER, UNKNOWN_AGE), THIEF),
    )
    for *both, winner in cases:
        for order in permutations((*both, (VICTIM, young))):
            claims = FrontendConflicts()
            for rules, age in order:
                claims.update(rules.name, rules, age)
            having = [name for name, some in shares(claims, THIEF, LATER).items() if "external IP 203.0.113.5" in some]
            assert having == [str(winner.name)]
            assert shares(claims, VICTIM) == {"kube-system/kube-dns": ["cluster IP 10.96.0.10"]}


def test_load_balancer_ips_stay_with_the_older_service_too() -> None:
    """Whatever their names."""
    owner = claimant("b/b", "10.96.0.2", lb=("198.51.100.20",))
    newcomer = claimant("a/a", "10.96.0.3", lb=("198.51.100.20",))
    claims = FrontendConflicts()
    claims.update(newcomer.name, newcomer, Age("2026-06-01T00:00:00Z", "a"))
    claims.update(owner.name, owner, Age("2026-01-01T00:00:00Z", "b"))
    assert shares(claims, owner)["b/b"] == ["cluster IP 10.96.0.2", "load balancer IP 198.51.100.20"]
    assert shares(claims, newcomer)["a/a"] == ["cluster IP 10.96.0.3"]


def test_a_health_check_is_hidden_by_a_node_port_of_its_number() -> None:
    """Of another Service or of its own; one that other Services have as a health check node port is not."""
    checked = replace(claimant("shop/web", "10.96.0.11"), health_check_node_port=30080)
    also = replace(claimant("shop/db", "10.96.0.12"), health_check_node_port=30080)
    at_port = Entry(Frontend("node port", b"", 30080), (Path("any", "cluster"),))
    other = replace(claimant("zzz/other", "10.96.0.13"), entries=(at_port,))
    claims = FrontendConflicts()
    claims.update(checked.name, checked)
    claims.update(also.name, also)
    assert claims.health_check_owner(checked) is None
    assert claims.update(other.name, other) == {checked.name, also.name}
    assert claims.health_check_owner(checked) == other.name
    assert claims.granted(other) == (other, ())
    own = replace(checked, entries=(*checked.entries, at_port))
    claims.update(other.name, None)
    claims.update(own.name, own)
    assert claims.health_check_owner(own) == own.name
    assert claims.health_check_owner(claimant("shop/plain", "10.96.0.14")) is None
