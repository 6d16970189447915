"""Commands of nftables mode, carried out on a table that is only a few dictionaries."""

import re
from collections.abc import Iterable
from random import Random

import pytest
from msgspec.structs import replace

from kdns.proxy.model import RuleSet, ServicePortName, ServicePortRules
from kdns.proxy.render.nftables.command import Chain, Container, Elements, Rule, Verb
from kdns.proxy.render.nftables.elements import element_text
from kdns.proxy.render.nftables.table import BATCH, Found, Step, Table
from tests.proxy.nftables_plan import KINDS, V4, V6, node_rules, of_kind, rule_set


class Kernel:
    """As strict as the real one about what is there and what is not."""

    def __init__(self) -> None:
        self.elements: dict[tuple[str, str], str] = {}
        self.chains: dict[str, list[str]] = {}
        self.sets: set[str] = set()

    def run(self, steps: Iterable[Step]) -> int:
        count = 0
        for command in (command for step in steps for command in step):
            count += 1
            match command.verb, command.object:
                case verb, Elements(container, octets):
                    for one in octets:
                        self._element(verb, container, element_text(container, one))
                case Verb.ADD, Chain(name):
                    self.chains.setdefault(name, [])
                case Verb.FLUSH, Chain(name):
                    self.chains[name].clear()
                case Verb.ADD, Rule(chain, text):
                    self.chains[chain].append(f" {text}")
                case Verb.ADD, Container("set", name):
                    self.sets.add(name)
                case Verb.DELETE, Container("set", name):
                    assert not any(f"@{name} " in rule for rules in self.chains.values() for rule in rules), "busy"
                    self.sets.remove(name)
        return count

    def _element(self, verb: Verb, container: str, item: str) -> None:
        key, value = re.fullmatch(r"(.*?)((?: comment .*)?(?: : .*)?)", item).groups()  # type: ignore[union-attr]
        if verb is Verb.DELETE:
            del self.elements[container, key]
        else:
            assert self.elements.setdefault((container, key), value) == value, "File exists"


def a_cluster(chance: Random, count: int) -> dict[ServicePortName, ServicePortRules]:
    """Services of any kind, at numbers that go round: most of them have another frontend than in another cluster."""
    numbers = chance.sample(range(1, 91), count)
    ports = [of_kind(V4, chance.choice(KINDS), number, f"s{place}") for place, number in enumerate(numbers)]
    return {port.name: port for port in chance.sample(ports, len(ports) - 5)}


@pytest.mark.parametrize("seed", range(4))
def test_a_large_change_is_worked_out_in_pieces_and_ends_as_if_written_at_once(seed: int) -> None:
    """Although frontends go from one Service to another across the pieces, and the detector may change as well."""
    chance = Random(seed)
    before, after = a_cluster(chance, 85), a_cluster(chance, 85)
    assert len(before) > BATCH
    node = node_rules(V4)
    other = node_rules(V4, detector=None) if seed % 2 else node
    kernel, fresh = Kernel(), Kernel()
    table, anew = Table(node), Table(other)
    kernel.run(table.rebuild(RuleSet(node, before), Found({})))
    kernel.run(table.replace(RuleSet(other, after)))
    fresh.run(anew.rebuild(RuleSet(other, after), Found({})))
    assert kernel.elements == fresh.elements
    assert kernel.sets == fresh.sets
    stale = {name for name, rules in kernel.chains.items() if not rules and name in table.stale}
    assert stale == table.stale
    assert {name: rules for name, rules in kernel.chains.items() if name not in stale} == fresh.chains
    assert table.elements == anew.elements == len(kernel.elements)
    assert {name: len(rules) for name, rules in kernel.chains.items()} == table.rules()
    assert table.totals() == (len(table.rules()), sum(table.rules().values()))
    assert kernel.run(table.replace(RuleSet(other, after))) == 0


def test_what_services_share_goes_with_the_last_of_them() -> None:
    """A cluster IP with two ports, and an endpoint of both."""
    node = node_rules(V6)
    http = of_kind(V6, "alone", 1)
    dns = replace(http, name=http.name._replace(port="dns", protocol="UDP"), entries=http.entries[:1])
    kernel, table = Kernel(), Table(node)
    kernel.run(table.rebuild(rule_set(node, [http, dns]), Found({})))
    shared = {("cluster-ips", "fd00:10:96::1"), ("hairpin", "fd00:10:244:1::2 . fd00:10:244:1::2")}
    kernel.run(table.change([(http.name, None)]))
    assert shared <= kernel.elements.keys()
    kernel.run(table.change([(http.name, http), (dns.name, None)]))
    assert shared <= kernel.elements.keys()
    kernel.run(table.change([(http.name, None)]))
    assert kernel.elements == {}
    assert table.elements == 0
