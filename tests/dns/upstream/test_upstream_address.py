"""What stands after the zone in a ``forward`` line, and what it stands for."""

import asyncio
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.errors import UpstreamError
from kdns.dns.upstream.resolve import resolve
from kdns.dns.upstream.upstream_address import File, UpstreamAddress, nameservers, parse_upstream
from kdns.wire.numbers import AAAA
from tests.fakes.upstream import FakeUpstream, reply

GOOD = (
    ("10.0.0.10", UpstreamAddress("dns", "10.0.0.10", 53), "10.0.0.10:53"),
    ("10.0.0.10:5353", UpstreamAddress("dns", "10.0.0.10", 5353), "10.0.0.10:5353"),
    ("dns://10.0.0.10", UpstreamAddress("dns", "10.0.0.10", 53), "10.0.0.10:53"),
    ("2001:db8::1", UpstreamAddress("dns", "2001:db8::1", 53), "[2001:db8::1]:53"),
    ("[2001:db8::1]", UpstreamAddress("dns", "2001:db8::1", 53), "[2001:db8::1]:53"),
    ("[2001:db8::1]:5353", UpstreamAddress("dns", "2001:db8::1", 5353), "[2001:db8::1]:5353"),
    ("fe80::1%eth0", UpstreamAddress("dns", "fe80::1%eth0", 53), "[fe80::1%eth0]:53"),
    ("[fe80::1%eth0]:5353", UpstreamAddress("dns", "fe80::1%eth0", 5353), "[fe80::1%eth0]:5353"),
    ("tls://9.9.9.9", UpstreamAddress("tls", "9.9.9.9", 853), "9.9.9.9:853"),
    ("tls://9.9.9.9%dns.quad9.net", UpstreamAddress("tls", "9.9.9.9", 853, "dns.quad9.net"), "9.9.9.9:853"),
    ("tls://9.9.9.9%dns.quad9.net:10853", UpstreamAddress("tls", "9.9.9.9", 10853, "dns.quad9.net"), "9.9.9.9:10853"),
    (
        "tls://[2620:fe::9%dns.quad9.net]:853",
        UpstreamAddress("tls", "2620:fe::9", 853, "dns.quad9.net"),
        "[2620:fe::9]:853",
    ),
    ("tls://2620:fe::9%dns.quad9.net", UpstreamAddress("tls", "2620:fe::9", 853, "dns.quad9.net"), "[2620:fe::9]:853"),
    ("TLS://9.9.9.9", UpstreamAddress("tls", "9.9.9.9", 853), "9.9.9.9:853"),
    ("https://9.9.9.9", UpstreamAddress("https", "9.9.9.9", 443), "9.9.9.9:443"),
    ("https://[2620:fe::9]:8443", UpstreamAddress("https", "2620:fe::9", 8443), "[2620:fe::9]:8443"),
    ("resolver.example", UpstreamAddress("dns", "resolver.example", 53), "resolver.example:53"),
    ("tls://resolver.example:8853", UpstreamAddress("tls", "resolver.example", 8853), "resolver.example:8853"),
    ("my_resolver", UpstreamAddress("dns", "my_resolver", 53), "my_resolver:53"),
)


@pytest.mark.parametrize(("text", "target", "shown"), GOOD, ids=[case[0] for case in GOOD])
def test_targets(text: str, target: UpstreamAddress, shown: str) -> None:
    """A word is a transport, an address or host name, a port, and for TLS a name."""
    parsed = parse_upstream(text)
    assert parsed == target
    assert isinstance(parsed, UpstreamAddress)
    assert parsed.text == shown


@pytest.mark.parametrize("text", ["/etc/resolv.conf", "./resolv.conf", "etc/resolv.conf"])
def test_files(text: str) -> None:
    """What has a slash is a file."""
    assert parse_upstream(text) == File(text)


BAD = (
    ("grpc://10.0.0.10", "no such transport: grpc"),
    ("quic://10.0.0.10", "no such transport: quic"),
    ("tls:///etc/resolv.conf", "a file of upstreams has no transport"),
    ("https://9.9.9.9/dns-query", "no path may follow"),
    ("", "no address"),
    ("tls://", "no address"),
    ("10.0.0.10:0", "invalid port '0'"),
    ("10.0.0.10:65536", "invalid port '65536'"),
    ("10.0.0.10:dns", "invalid port 'dns'"),
    ("[2001:db8::1", "invalid address"),
    ("[2001:db8::1]53", "invalid address"),
    ("10.0.0.256", "invalid IP address '10.0.0.256'"),
    ("10.0.0", "invalid IP address '10.0.0'"),
    ("2001:db8::g", "invalid IP address"),
    ("10.0.0.1%eth0", "invalid IP address"),
    ("a..b", "neither an address nor a host name"),
    ("tls://9.9.9.9%", "nothing stands after %"),
    ("https://9.9.9.9%dns.quad9.net", "use tls_servername"),
)


@pytest.mark.parametrize(("text", "message"), BAD, ids=[case[0] for case in BAD])
def test_bad_targets(text: str, message: str) -> None:
    """What is no upstream says what would be one."""
    with pytest.raises(ValueError, match=message):
        parse_upstream(text)


@given(st.text(max_size=40) | st.text("tlsdnhp:/[]%.0123456789abf", max_size=40))
def test_any_word(text: str) -> None:
    """Any word at all is an upstream, or a ValueError that says why not."""
    try:
        target = parse_upstream(text)
    except ValueError:
        return
    assert isinstance(target, File) or (target.host and 0 < target.port < 65536)


RESOLV_CONF = """
# comment
search default.svc.cluster.local svc.cluster.local
nameserver 10.0.0.10
nameserver\tfe80::1%eth0   trailing words
; nameserver 10.0.0.11
nameserver resolver.example
nameserver
options ndots:5
nameserver 2001:db8::1
"""


def test_nameservers() -> None:
    """Only nameserver lines with an address count."""
    assert [target.text for target in nameservers(RESOLV_CONF)] == [
        "10.0.0.10:53",
        "[fe80::1%eth0]:53",
        "[2001:db8::1]:53",
    ]


async def test_files_are_read(tmp_path: Path) -> None:
    """A path is relative to the Corefile's folder; a word without a slash is a file if there is one of that name."""
    (tmp_path / "upstreams").write_text(RESOLV_CONF)
    for word in ("./upstreams", str(tmp_path / "upstreams"), "upstreams"):
        assert len(await resolve(parse_upstream(word), folder=str(tmp_path))) == 3
    with pytest.raises(FileNotFoundError):
        await resolve(File("gone/upstreams"), folder=str(tmp_path))


async def test_host_names_by_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a resolver the system is asked; transport, port and name stay."""
    assert UpstreamAddress("tls", "127.0.0.1", 853, "n") in await resolve(UpstreamAddress("tls", "localhost", 853, "n"))

    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(UpstreamError, match=r"failed to resolve 'gone\.example': Name or service not known"):
        await resolve(UpstreamAddress("dns", "gone.example", 53))


async def test_host_names_by_resolvers() -> None:
    """Resolvers are asked for both families, one after the other until one has an address."""
    async with FakeUpstream() as empty, FakeUpstream() as full:
        full.zone["resolver.example."] = ("192.0.2.7", "192.0.2.8")
        answer = full.zone["resolver.example."]
        full.answer = lambda query: reply(query, () if query.rtype == AAAA else answer)
        resolvers = [UpstreamAddress("dns", "127.0.0.1", port) for port in (empty.port, full.port)]
        found = await resolve(UpstreamAddress("dns", "resolver.example", 5353), resolvers)
        assert [target.text for target in found] == ["192.0.2.7:5353", "192.0.2.8:5353"]
        assert [query.rtype for query in full.queries] == [1, AAAA]
        with pytest.raises(UpstreamError, match=r"no addresses found for 'resolver\.example'"):
            await resolve(UpstreamAddress("dns", "resolver.example", 53), resolvers[:1])
        await empty.die()
        with pytest.raises(UpstreamError, match=r"failed to resolve 'resolver\.example': .*connection refused"):
            await resolve(UpstreamAddress("dns", "resolver.example", 53), resolvers[:1])
