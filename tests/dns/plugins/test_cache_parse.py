"""The ``cache`` directive: every option, every mistake, and the example of its page."""

import re
from pathlib import Path

import pytest

from kdns.dns.api.plugin import DirectiveContext
from kdns.dns.cache.kinds import Bounds
from kdns.dns.cache.options import CacheOptions, Prefetch, Stale
from kdns.dns.plugins import cache
from tests.config.text import corefile, directives
from tests.dns.parts import FakeParts
from tests.dns.plugins.asking import mistakes

PAGE = Path(__file__).parents[3] / "docs/plugins/cache.md"
HERE = DirectiveContext(("example.org.",), 53, ".")

GOOD = {
    "cache": CacheOptions(zones=("example.org.",)),
    "cache 30": CacheOptions(zones=("example.org.",), success=Bounds(30), denial=Bounds(30)),
    "cache 30 A.test 10.0.0.0/8": CacheOptions(
        zones=("a.test.", "10.in-addr.arpa."), success=Bounds(30), denial=Bounds(30)
    ),
    "cache 30 {\n success 5000\n denial 9984 5\n}": CacheOptions(
        zones=("example.org.",), success_capacity=5000, success=Bounds(30), denial_capacity=9984, denial=Bounds(5)
    ),
    "cache {\n success 1 60 0\n denial 2 50 40\n}": CacheOptions(
        zones=("example.org.",), success_capacity=1, success=Bounds(60, 0), denial_capacity=2, denial=Bounds(50, 40)
    ),
    "cache {\n prefetch 10\n}": CacheOptions(zones=("example.org.",), prefetch=Prefetch(10)),
    "cache {\n prefetch 10 5m 90%\n}": CacheOptions(zones=("example.org.",), prefetch=Prefetch(10, 300.0, 90)),
    "cache {\n serve_stale\n}": CacheOptions(zones=("example.org.",), stale=Stale()),
    "cache {\n serve_stale 5m IMMEDIATE 30s 10s\n}": CacheOptions(
        zones=("example.org.",), stale=Stale(300.0, "immediate", 0.0, 30, 10.0)
    ),
    "cache {\n serve_stale_policy prefer_positive\n serve_stale 5m verify 500ms 30s 5m\n}": CacheOptions(
        zones=("example.org.",), stale=Stale(300.0, "verify", 0.5, 30, 300.0, prefer_positive=True)
    ),
    "cache {\n servfail 0\n keepttl\n disable denial\n disable success a.test B.test\n}": CacheOptions(
        zones=("example.org.",), servfail=0.0, keepttl=True, disable_denial=(".",),
        disable_success=("a.test.", "b.test."),
    ),
}  # fmt: skip

BAD = {
    "cache 0": "1:7 0 is out of range",
    "cache -1": "1:7 -1 is out of range",
    "cache\ncache": "2:1 'cache' stands twice in this server block",
    "cache {\n success\n denial x\n nothing\n}": (
        "2:2 'success' needs 1 to 3 arguments, got 0\n3:9 invalid whole number 'x'\n"
        "4:2 'cache' has no property 'nothing'"
    ),
    "cache {\n success 10 0\n denial 10 20 -1\n}": "2:13 0 is out of range\n3:15 -1 is out of range",
    "cache {\n prefetch 10 1m 10\n}": "2:17 invalid percentage '10'",
    "cache {\n prefetch 10 1m 95%\n}": "2:17 95 is out of range",
    "cache {\n serve_stale 10\n}": "2:14 invalid duration '10'",
    "cache {\n serve_stale 1h maybe\n}": "2:17 'maybe' is none of immediate, verify",
    "cache {\n serve_stale 1h immediate 1s 1s 1s\n}": (
        "2:33 serve_stale immediate takes a TTL and a recheck time, no more"
    ),
    "cache {\n serve_stale 1h immediate 500ms\n}": "2:27 500ms is not a whole number of seconds",
    "cache {\n serve_stale 1h verify 0s 0s 6m\n}": "2:30 6m is out of range",
    "cache {\n serve_stale_policy prefer_positive\n}": "2:2 serve_stale_policy without serve_stale",
    "cache {\n serve_stale\n serve_stale_policy prefer_negative\n}": "3:21 no such policy: 'prefer_negative'",
    "cache {\n servfail 6m\n}": "2:11 6m is out of range",
    "cache {\n disable all\n}": "2:10 'all' is none of success, denial",
    "cache {\n keepttl yes\n}": "2:10 'keepttl' takes no argument",
}


@pytest.mark.parametrize("text", GOOD)
def test_options(text: str) -> None:
    """Each line says what it says in CoreDNS."""
    assert cache.parse(directives(text), HERE) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_mistakes(text: str) -> None:
    """All mistakes are told together, each at its word."""
    assert mistakes(cache, text, FakeParts()) == BAD[text]


def test_the_page() -> None:
    """The example of the page parses, and the page names every property."""
    page = PAGE.read_text()
    (example,) = re.findall(r"^```corefile\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (block,) = corefile(example).blocks
    found = [line for line in block.directives if line.name.text == "cache"]
    options = cache.parse(found, HERE)
    assert options.stale is not None
    for word in (
        "success",
        "denial",
        "prefetch",
        "serve_stale",
        "serve_stale_policy",
        "servfail",
        "disable",
        "keepttl",
    ):
        assert f"`{word}" in page
