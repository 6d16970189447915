"""A node that is walked slowly has the records of the node at once, in parts that take about a millisecond."""

import pytest

from kdns.records.rrset import rrsets_of
from kdns.records.service import PART, service_names, service_node, streamed_rrsets
from kdns.wire.numbers import SRV
from tests.build import tcp, udp, view
from tests.records.zone_text import cluster

SERVICES = {
    "headless, two ports": view("shop/large", ("None",), (tcp(80, "http"), udp(53, "dns")),
                                [f"10.244.{number // 250}.{number % 250}" for number in range(700)]),
    "a port without a name": view("shop/large", ("None",), (tcp(80, ""),), ["10.244.0.7", "10.244.0.8"]),
    "a cluster IP": view("shop/large", ("10.96.0.7",), (tcp(80, "http"),), ["10.244.0.7"]),
    "no ports": view("shop/large", ("None",), (), ["10.244.0.7", "10.244.0.8"]),
}  # fmt: skip


@pytest.mark.parametrize("title", SERVICES)
def test_the_same_records_in_parts(title: str) -> None:
    """For each name of a Service: the RRsets of `service_node`, in their order, an SRV RRset in parts."""
    found = SERVICES[title]
    schema, owner = cluster(found).schema, b"\5large\4shop\3svc\7cluster\5local\0"
    for left in service_names(found, owner, schema):
        whole = [
            (rrset.owner, rrset.rtype, rrset.ttl, rdata)
            for rrset in rrsets_of(service_node(found, owner, left, schema))
            for rdata in rrset.rdatas
        ]
        parts = list(streamed_rrsets(found, owner, left, schema))
        assert [(part.owner, part.rtype, part.ttl, rdata) for part in parts for rdata in part.rdatas] == whole
        assert all(len(part.rdatas) <= PART for part in parts if part.rtype == SRV)
