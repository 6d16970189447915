"""A ``forward`` line as values; mistakes with their places."""

import pytest
from msgspec.structs import replace

from kdns.base.errors import ConfigError, ConfigErrors
from kdns.dns.upstream.forward_directive import ForwardDirective, TlsFiles, parse_forward
from kdns.dns.upstream.pool import PoolSettings
from kdns.dns.upstream.stream import Keep
from kdns.dns.upstream.upstream import Settings
from kdns.dns.upstream.upstream_address import File, UpstreamAddress
from kdns.wire.message import UpstreamQuery
from kdns.wire.name import parse_name
from kdns.wire.numbers import NS, RD
from tests.config.text import directives


def line(text: str) -> ForwardDirective:
    """Parsed, with relative paths in /etc/coredns."""
    return parse_forward(directives(text)[0], "/etc/coredns")


ORG = parse_name("a.org.")
PLAIN = ForwardDirective(zones=(".",), to=(), folder="/etc/coredns")


def with_settings(**changes: object) -> ForwardDirective:
    """The defaults but for these."""
    return replace(PLAIN, settings=replace(Settings(), **changes))


def with_rules(**changes: object) -> ForwardDirective:
    """The defaults but for these."""
    return replace(PLAIN, rules=replace(PoolSettings(), **changes))


OPTIONS: tuple[tuple[str, ForwardDirective], ...] = (
    ("", PLAIN),
    ("except a.org 10.0.0.0/24\n except B.net", replace(PLAIN, excepted=("a.org.", "0.0.10.in-addr.arpa.", "b.net."))),
    ("force_tcp", replace(with_settings(probe_tcp=True), force_tcp=True)),
    ("prefer_udp", replace(PLAIN, prefer_udp=True)),
    ("expire 20s", with_settings(keep=Keep(expire=20))),
    ("expire 0", with_settings(keep=Keep(expire=0))),
    ("max_age 1m", with_settings(keep=Keep(max_age=60))),
    ("max_age 0", PLAIN),
    ("max_idle_conns 3", with_settings(keep=Keep(most_idle=3))),
    ("read_timeout 500ms", with_settings(read_timeout=0.5)),
    ("max_fails 0", with_settings(max_fails=0)),
    ("max_connect_attempts 0", with_rules(max_attempts=0)),
    ("doh_method GET", with_settings(doh_method="GET")),
    ("tls", replace(PLAIN, tls=TlsFiles())),
    ("tls ca.pem", replace(PLAIN, tls=TlsFiles("/etc/coredns/ca.pem"))),
    ("tls /c.pem /k.pem", replace(PLAIN, tls=TlsFiles("", "/c.pem", "/k.pem"))),
    ("tls /c.pem /k.pem /ca.pem", replace(PLAIN, tls=TlsFiles("/ca.pem", "/c.pem", "/k.pem"))),
    ("tls_servername dns.quad9.net", replace(PLAIN, tls_servername="dns.quad9.net")),
    ("policy round_robin", with_rules(policy="round_robin")),
    ("health_check 5s", with_settings(probe_every=5)),
    ("health_check 1s no_rec domain a.org", with_settings(probe_every=1, probe=UpstreamQuery(ORG, NS, flags=0))),
    ("health_check 1s domain A.org", with_settings(probe_every=1, probe=UpstreamQuery(ORG, NS, flags=RD))),
    ("max_concurrent 1000", with_rules(max_concurrent=1000)),
    ("next NXDOMAIN refused", replace(PLAIN, next=frozenset({3, 5}))),
    ("next NXDOMAIN\n next SERVFAIL", replace(PLAIN, next=frozenset({2, 3}))),
    ("next_on_nodata", replace(PLAIN, next_on_nodata=True)),
    ("failfast_all_unhealthy_upstreams", with_rules(failfast=True)),
    ("failover ServFail BADVERS", with_rules(failover=frozenset({2, 16}))),
    ("source_address 10.0.0.1", with_settings(source="10.0.0.1")),
    ("resolver 10.0.0.1", replace(PLAIN, resolvers=(UpstreamAddress("dns", "10.0.0.1", 53),))),
    (
        "resolver [::1]:5353 ::2",
        replace(PLAIN, resolvers=(UpstreamAddress("dns", "::1", 5353), UpstreamAddress("dns", "::2", 53))),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("option", "expected"), OPTIONS, ids=[option or "none" for option, _ in OPTIONS])
def test_options(option: str, expected: ForwardDirective) -> None:
    """Each option has its meaning, and the others their defaults."""
    parsed = line(f"forward . 10.0.0.10 {{\n {option}\n}}")
    plain = replace(parsed, to=(), tls=parsed.tls._replace(word=None))
    assert plain == expected
    assert [to.what for to in parsed.to] == [UpstreamAddress("dns", "10.0.0.10", 53)]


def test_zones_and_upstreams() -> None:
    """A network stands for its reverse zones; upstreams keep their order."""
    parsed = line("forward 10.0.0.0/23 /etc/resolv.conf tls://9.9.9.9")
    assert parsed.zones == ("0.0.10.in-addr.arpa.", "1.0.10.in-addr.arpa.")
    assert [to.what for to in parsed.to] == [File("/etc/resolv.conf"), UpstreamAddress("tls", "9.9.9.9", 853)]


BAD = (
    ("forward", "1:1: 'forward' needs at least 2 arguments, got 0"),
    ("forward .", "1:1: 'forward' needs at least 2 arguments, got 1"),
    ("forward a..b 10.0.0.10", "1:9: no zone"),
    ("forward . 10.0.0.256", "1:11: invalid IP address '10.0.0.256'"),
    ("forward . " + " ".join(f"10.0.0.{n}" for n in range(16)), "16 upstreams, at most 15"),
)
BAD_OPTIONS = (
    ("except", "2:2: 'except' needs at least 1 argument"),
    ("except a..b", "2:9: no zone"),
    ("force_tcp yes", "2:12: 'force_tcp' takes no argument"),
    ("prefer_udp yes", "2:13: 'prefer_udp' takes no argument"),
    ("expire 10", "2:9: invalid duration '10'"),
    ("expire -1s", "2:9: -1s is out of range"),
    ("max_age 5s", r"2:10: max_age is less than expire \(10s\)"),
    ("max_idle_conns -1", "2:17: -1 is out of range"),
    ("max_idle_conns many", "2:17: invalid whole number 'many'"),
    ("read_timeout 0", "2:15: 0 is out of range"),
    ("max_fails -1", "2:12: -1 is out of range"),
    ("max_fails", "2:2: 'max_fails' needs 1 argument, got 0"),
    ("max_connect_attempts x", "2:23: invalid whole number 'x'"),
    ("doh_method PUT", "2:13: 'PUT' is none of GET, POST"),
    ("tls a b c d", "2:12: 'tls' takes 0 to 3 arguments, got 4"),
    ("tls_servername", "2:2: 'tls_servername' needs 1 argument"),
    ("policy roundrobin", "2:9: 'roundrobin' is none of random, round_robin, sequential"),
    ("health_check", "2:2: 'health_check' needs 1 to 4 arguments"),
    ("health_check 5", "2:15: invalid duration '5'"),
    ("health_check 5s norec", "2:18: 'health_check' has no option 'norec'"),
    ("health_check 5s domain", "2:18: 'domain' needs a name"),
    ("health_check 5s domain a..b", "2:25: no name"),
    ("max_concurrent -1", "2:17: -1 is out of range"),
    ("next", "2:2: 'next' needs at least 1 argument"),
    ("next NXDOMIAN", "2:7: unknown rcode 'NXDOMIAN'"),
    ("next_on_nodata yes", "2:17: 'next_on_nodata' takes no argument"),
    ("failfast_all_unhealthy_upstreams yes", "'failfast_all_unhealthy_upstreams' takes no argument"),
    ("failover NOERROR", "2:11: NOERROR cannot be used in failover"),
    ("failover RCODE12", "2:11: unknown rcode 'RCODE12'"),
    ("source_address eth0", "2:17: invalid IP address 'eth0'"),
    ("resolver dns.example", "2:11: invalid IP address 'dns.example'"),
    ("resolver /etc/resolv.conf", "2:11: invalid IP address '/etc/resolv.conf'"),
    ("resolver", "2:2: 'resolver' needs at least 1 argument"),
    ("max_fail 3", "2:2: 'forward' has no property 'max_fail'"),
)


@pytest.mark.parametrize(
    ("text", "message"),
    [*BAD, *((f"forward . 10.0.0.10 {{\n {option}\n}}", message) for option, message in BAD_OPTIONS)],
    ids=[text[:40] for text, _ in (*BAD, *BAD_OPTIONS)],
)
def test_mistakes(text: str, message: str) -> None:
    """A mistake is told with its place."""
    with pytest.raises(ConfigError, match=message):
        line(text)


def test_mistakes_are_told_together() -> None:
    """All mistakes of a line come at once."""
    text = "forward . 10.0.0.256 tls://9.9.9.9%a {\n max_fails x\n tls_servername b\n policy none\n}"
    with pytest.raises(ConfigErrors) as caught:
        line(text)
    assert [error.at and (error.at.line, error.at.column) for error in caught.value.errors] == [
        (1, 11),
        (2, 12),
        (4, 9),
        (1, 22),
    ]
