"""A template for everything is asked for 65,536 types in as many classes, and makes no series of them."""

from kdns.dns.api.handler import Response, chain
from kdns.dns.plugins import template
from kdns.metrics.dns import OTHER
from tests.dns.parts import FakeParts, scripted
from tests.dns.plugins.asking import built, request


async def test_clients_make_no_series() -> None:
    """Types without a name of their own in metrics, and classes that are none, are counted together."""
    parts = FakeParts()
    made = built(template, "template ANY ANY test {\n rcode NXDOMAIN\n}", parts)
    assert made.plugin is not None
    handler = chain((made.plugin,), scripted(Response()))
    for number in (1, 28, 1000, 1001, 65000):
        for rclass in (1, 3, 700, 800):
            asked = request("a.test. A")
            question = asked.query.question[:-4] + number.to_bytes(2, "big") + rclass.to_bytes(2, "big")
            query = asked.query._replace(question=question, rtype=number, rclass=rclass)
            assert (await handler(asked._replace(query=query))).rcode == 3
    told = {
        (sample.labels["class"], sample.labels["type"]): sample.value
        for family in parts.registry.collect()
        for sample in family.samples
        if sample.name == "coredns_template_matches_total"
    }
    types, classes = {"A": 1, "AAAA": 1, OTHER: 3}, {"IN": 1, "CH": 1, OTHER: 2}
    assert told == {(one, two): classes[one] * types[two] for one in classes for two in types}
