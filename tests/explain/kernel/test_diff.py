"""``kdns rules --diff``: every frontend of a node, in its kernel and in the objects."""

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path
from shutil import copytree

import pytest

from kdns.base.errors import ConfigError
from kdns.explain.node_files import Keep, NotInstalled
from kdns.explain.run_diff import diff_of_evidence, diff_of_this_node
from kdns.proxy.model import Family
from tests.explain.cases import CASES
from tests.explain.kernel.broken import BROKEN
from tests.explain.kernel.saving import RULES, SAVED


def diff(name: str, service: str = "", node: str = "") -> tuple[int, str]:
    """Exit status and text for the evidence of a case."""
    out = io.StringIO()
    return diff_of_evidence([str(CASES / name)], "", "", node=node, service=service, out=out), out.getvalue()


@pytest.mark.parametrize("name", [case.name for case in BROKEN if case.name.startswith("healthy") and not case.now])
def test_a_healthy_kernel_has_no_difference(name: str) -> None:
    """Whatever mode, tool and release wrote the rules: nothing differs, and the exit status is 0."""
    status, text = diff(name)
    assert (status, text.count("\n")) == (0, 1), text


TABLE = (
    ("E32-stale-endpoint-nftables", "10.96.7.7:80/TCP  shop/cart:http", "10.244.2.9:8080, which is not an endpoint"),
    ("E32-element-deleted-nftables", "10.96.7.7:80/TCP  shop/cart:http", "no rule that leads on"),
    ("E33-services-flushed-iptables", "10.96.7.7:80/TCP", "KUBE-SERVICES of iptables table nat is empty"),
    ("E32-real-server-stale-ipvs", "10.96.7.7:80/TCP", "10.244.2.9:8080"),
)
"""Case, the frontend, what differs."""


@pytest.mark.parametrize(("name", "where", "says"), TABLE, ids=[row[0] for row in TABLE])
def test_what_differs_is_a_line(name: str, where: str, says: str) -> None:
    """Each difference names the frontend, the Service, and the rule that shows it; the exit status is 1."""
    status, text = diff(name)
    assert status == 1
    assert any(line.startswith(where) and says in line for line in text.splitlines()), text


def test_what_no_service_asks_for_is_a_line(tmp_path: Path) -> None:
    """A frontend that the kernel still serves is found, although no Service has it any more."""
    copied = copytree(CASES / "healthy-nftables", tmp_path / "case")
    objects = (copied / "objects.yaml").read_text()
    (copied / "objects.yaml").write_text(objects.replace("198.51.100.21", "198.51.100.99"))
    out = io.StringIO()
    assert diff_of_evidence([str(copied)], "", "", node="", service="", out=out) == 1
    assert "198.51.100.21:80/TCP  (no Service)" in out.getvalue()


def test_a_service_or_node_that_is_not_there_is_an_error() -> None:
    """A misspelt name does not look like an empty answer."""
    with pytest.raises(ConfigError, match="no Service shop/card"):
        diff("healthy-iptables", service="shop/card")
    with pytest.raises(ConfigError, match="worker-9"):
        diff("healthy-iptables", node="worker-9")


class Tools:
    """Tools of a node: some print what a kernel printed once, others fail."""

    def __init__(self, printed: dict[str, str], failure: Exception) -> None:
        self._printed, self._failure = printed, failure

    async def __call__(self, argv: Sequence[str], keep: Keep | None = None) -> bytes:
        """What the tool prints."""
        if argv[0] in self._printed:
            return self._printed[argv[0]].encode()
        raise self._failure


def here(tools: Tools) -> tuple[int, str]:
    """What differs on this machine, if its tools are these."""
    out = io.StringIO()
    work = diff_of_this_node("worker-1", [RULES[Family.IPV4]], "iptables", (), whole=False, out=out, run=tools)
    return asyncio.run(work), out.getvalue()


def test_this_node_is_read_with_its_tools() -> None:
    """Without evidence the rules are what iptables-save prints here; one that is missing is a line."""
    save = (SAVED / "iptables-save.txt").read_text()
    assert here(Tools({"iptables-save": save}, NotInstalled()))[0] == 0
    chain = next(line for line in save.splitlines() if line.startswith("-A KUBE-SERVICES -d"))
    status, text = here(Tools({"iptables-save": save.replace(f"{chain}\n", "")}, NotInstalled()))
    assert (status, f"{chain.split()[3].removesuffix('/32')}:" in text) == (1, True), text


def test_frontends_of_the_other_family_are_not_strange() -> None:
    """nft prints the tables of both families: each is compared with the rules of its own."""
    printed = "".join((SAVED / name).read_text() for name in ("nft.txt", "nft6.txt"))
    out = io.StringIO()
    tools = Tools({"nft": printed}, NotInstalled())
    work = diff_of_this_node("worker-1", list(RULES.values()), "nftables", (), whole=True, out=out, run=tools)
    assert asyncio.run(work) == 0, out.getvalue()


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (NotInstalled(), r"no ipv4 rules of node worker-1\n.*is one of them installed"),
        (OSError("iptables-save: Permission denied (you must be root)"), "you must be root"),
        (TimeoutError("iptables-save did not end within 20 s"), "did not end within 20 s"),
    ],
    ids=["no tool", "no root", "no end"],
)
def test_a_node_that_cannot_be_read_is_an_error(failure: Exception, says: str) -> None:
    """Without a tool, or without the rights, nothing is said to differ, or to be the same."""
    with pytest.raises(ConfigError, match=f"(?is){says}"):
        here(Tools({}, failure))
