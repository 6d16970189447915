"""A zone that knot has signed is served from its file, and delv validates whatever is asked."""

import asyncio
import shutil
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Final

import pytest

from tests.running import Kdns

pytestmark = pytest.mark.e2e

PATHS: Final = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
ZONE: Final = """\
$TTL 3600
@          SOA ns1 hostmaster 7 7200 3600 1209600 300
           NS ns1
ns1        A 192.0.2.53
web        A 192.0.2.80
           AAAA 2001:db8::80
www        CNAME web
alias      CNAME x.wild
*.wild     A 192.0.2.99
a.b.deep   A 192.0.2.1
sub        NS ns.sub
ns.sub     A 192.0.2.54
safe       NS ns.safe
safe       DS 1 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
ns.safe    A 192.0.2.55
old        DNAME new
x.new      A 192.0.2.7
_http._tcp SRV 0 1 80 web
"""
KNOT: Final = """\
server:
    rundir: {folder}
database:
    storage: {folder}/state
log:
  - target: stderr
    any: info
policy:
  - id: once
    algorithm: ECDSAP256SHA256
    single-type-signing: on
    nsec3: off
zone:
  - domain: example.org
    storage: {folder}
    file: db
    zonefile-sync: 0
    zonefile-load: difference-no-serial
    journal-content: all
    dnssec-signing: on
    dnssec-policy: once
"""
COREFILE: Final = """\
cluster.local:0 {{
    bind 127.0.0.1
    errors
}}
example.org:0 {{
    bind 127.0.0.1
    file {folder}/db
}}
"""
YES: Final = "fully validated"
NO: Final = "negative response, fully validated"
QUESTIONS: Final = (
    ("example.org", "SOA", YES),
    ("example.org", "NS", YES),
    ("example.org", "DNSKEY", YES),
    ("example.org", "CDS", YES),
    ("example.org", "TXT", NO),
    ("web.example.org", "A", YES),
    ("web.example.org", "AAAA", YES),
    ("web.example.org", "TXT", NO),
    ("www.example.org", "A", YES),
    ("alias.example.org", "A", YES),
    ("q.wild.example.org", "A", YES),
    ("a.q.wild.example.org", "A", YES),
    ("q.wild.example.org", "AAAA", NO),
    ("wild.example.org", "A", NO),
    ("deep.example.org", "A", NO),
    ("nope.example.org", "A", NO),
    ("z.nope.example.org", "A", NO),
    ("q.deep.example.org", "A", NO),
    ("zzz.example.org", "A", NO),
    ("_http._tcp.example.org", "SRV", YES),
    ("_tcp.example.org", "A", NO),
    ("x.old.example.org", "A", YES),
    ("old.example.org", "A", NO),
    ("safe.example.org", "DS", YES),
    ("sub.example.org", "DS", NO),
)


def program(name: str) -> str:
    """Its path."""
    found = shutil.which(name, path=PATHS)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


async def sign(folder: Path) -> str:
    """Have the zone in the folder signed; its public key, in base64."""
    (folder / "db").write_text(ZONE)
    (folder / "state").mkdir()
    (folder / "knot.conf").write_text(KNOT.format(folder=folder))
    knot = await asyncio.create_subprocess_exec(program("knotd"), "-c", str(folder / "knot.conf"), stderr=PIPE)
    assert knot.stderr is not None
    said = b""
    try:
        async with asyncio.timeout(120):
            while b"zone file updated" not in said:
                line = await knot.stderr.readline()
                assert line, f"knotd ended: {said.decode()}"
                said += line
    finally:
        if knot.returncode is None:
            knot.terminate()
        await knot.communicate()
    (fields,) = (line.split() for line in (folder / "db").read_text().splitlines() if line.split()[2:3] == ["DNSKEY"])
    return fields[-1]


async def test_all_is_validated(tmp_path: Path) -> None:
    """Answers, aliases, wildcards, and every kind of "no", with nothing but the zone's key as anchor."""
    delv = program("delv")
    key = await sign(tmp_path)
    anchors = tmp_path / "anchors"
    anchors.write_text(f'trust-anchors {{ "example.org" static-key 257 3 13 "{key}"; }};')
    (tmp_path / "Corefile").write_text(COREFILE.format(folder=tmp_path))
    async with Kdns("serve", "--conf", str(tmp_path / "Corefile")) as kdns:
        port = await kdns.port()

        async def ask(name: str, rtype: str) -> str:
            words = ("@127.0.0.1", "-p", str(port), "-a", str(anchors), "+root=example.org", name, rtype)
            asking = await asyncio.create_subprocess_exec(delv, *words, stdout=PIPE, stderr=STDOUT)
            out, _ = await asyncio.wait_for(asking.communicate(), 120)
            return out.decode()

        for name, rtype, wanted in QUESTIONS:
            said = await ask(name, rtype)
            told = [line.removeprefix("; ") for line in said.splitlines() if line.startswith("; ")]
            assert wanted in told, f"{name} {rtype}: {said}"
