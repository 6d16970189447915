"""Where no plugin takes a name: SERVFAIL from the block that has it, REFUSED where no block does.

CoreDNS does the same (`plugin.NextOrFailure`, core/dnsserver/server.go), and the resolver of glibc (res_search) needs
it: REFUSED ends a search list, SERVFAIL does not.
"""

from pathlib import Path

import pytest

from kdns.dns.server.plan import plan_corefile
from kdns.dns.server.registry import Registry
from kdns.dns.server.serving import Serving
from tests.config.text import corefile
from tests.dns.server.test_plan import server_context
from tests.dns.server.test_serving import rcode

ZONE = """\
$TTL 60
@ IN SOA ns hostmaster 1 7200 3600 1209600 300
@ IN NS ns
ns IN A 10.1.0.53
"""
CASES = (
    # what is in the server block for `.`, the question, the rcode
    ("hosts {\n 10.0.0.5 registry.dc.lan\n fallthrough\n}", "registry.corp.lan", "SERVFAIL"),
    ("hosts {\n 10.0.0.5 registry.dc.lan\n fallthrough\n}", "registry.dc.lan", "NOERROR"),
    ("forward . 127.0.0.1:1 {\n except corp.lan\n}", "registry.corp.lan", "SERVFAIL"),
    ("forward dc.lan 127.0.0.1:1", "registry.corp.lan", "SERVFAIL"),
    ("forward dc.lan 127.0.0.1:1\nforward lab.lan 127.0.0.1:1", "registry.corp.lan", "SERVFAIL"),
    ('template IN A {\n match ^x\n fallthrough\n answer "{{ .Name }} 60 IN A 10.0.0.1"\n}', "a.corp.lan", "SERVFAIL"),
    ("template IN AAAA corp.lan {\n rcode NXDOMAIN\n}", "registry.corp.lan", "SERVFAIL"),
    ("file db.corp corp.lan {\n fallthrough\n}", "registry.corp.lan", "SERVFAIL"),
    ("file db.corp corp.lan", "registry.corp.lan", "NXDOMAIN"),
    ("file db.corp corp.lan", "registry.dc.lan", "SERVFAIL"),
    ("rewrite name registry.dc.lan registry.corp.lan", "registry.dc.lan", "SERVFAIL"),
    ("cache 30\nerrors\nlog\nloadbalance", "registry.corp.lan", "SERVFAIL"),
    ("acl {\n block type ANY\n}", "registry.corp.lan", "SERVFAIL"),
    ("shortnames", "registry.corp", "SERVFAIL"),
    ("", "registry.corp.lan", "SERVFAIL"),
)


async def answered(folder: Path, text: str, name: str) -> str:
    """The rcode of one question to a server with this Corefile."""
    (folder / "db.corp").write_text(ZONE)
    serving = Serving(server_context())
    try:
        await serving.install(serving.build(plan_corefile(corefile(text), Registry(), str(folder))))
        return await rcode(serving, name)
    finally:
        await serving.close()


@pytest.mark.parametrize(("directives", "name", "expected"), CASES)
async def test_a_block_that_has_the_name_does_not_refuse(
    tmp_path: Path, directives: str, name: str, expected: str
) -> None:
    """Whatever plugins a block has, what none of them takes ends in SERVFAIL."""
    assert await answered(tmp_path, f".:0 {{\nbind 127.0.0.1\n{directives}\n}}\n", name) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("a.corp.lan", "SERVFAIL"), ("a.dc.lan", "REFUSED"), ("xcorp.lan", "REFUSED")]
)
async def test_a_name_of_no_block_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    """REFUSED is for names that are in no server block's zones."""
    assert await answered(tmp_path, "corp.lan:0 {\n bind 127.0.0.1\n errors\n}\n", name) == expected
