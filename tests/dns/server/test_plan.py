"""Corefiles become chains: their order, their places, and what is said of those that cannot be."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from kdns.base.errors import ConfigError
from kdns.config.settings import KubernetesOptions, ServeSettings
from kdns.dns.plugins import LEFT_OUT
from kdns.dns.server.block import RunningServerBlock, describe, routers
from kdns.dns.server.clusters import Clusters
from kdns.dns.server.context import Listener, ServerContext
from kdns.dns.server.plan import ServerBlockPlan, banner_lines, plan_corefile, plan_settings, process_settings
from kdns.dns.server.registry import Registry
from kdns.metrics.dns import Metrics
from kdns.watch.source import Source
from tests.config.defaults import DEFAULTS
from tests.config.text import corefile

KUBEADM = "\n" + DEFAULTS["kubeadm"].replace("/etc/resolv.conf", "127.0.0.1")


async def no_source(_: KubernetesOptions) -> Source:
    """Nothing is followed here."""
    raise AssertionError


def server_context() -> ServerContext:
    """What blocks need to be built."""
    metrics = Metrics()
    return ServerContext(metrics, CollectorRegistry(), Clusters(no_source, metrics), lambda _: None)


def plans(text: str, folder: str = "") -> tuple[ServerBlockPlan, ...]:
    """The plans of a Corefile."""
    return plan_corefile(corefile(text), Registry(folder), "/")


def blocks(text: str, folder: str = "") -> Sequence[RunningServerBlock]:
    """A Corefile, built."""
    shared = server_context()
    return [RunningServerBlock(plan, shared) for plan in plans(text, folder)]


DESCRIBED = (
    (
        "kubeadm's Corefile",
        KUBEADM,
        """
        dns://.:53
          chain      reload > ready > health > prometheus > errors > loadbalance > cache > kubernetes > loop > forward
          fast path  cache: .
          fast path  kubernetes: cluster.local.
          fast path  kubernetes: in-addr.arpa.
          fast path  kubernetes: ip6.arpa.
        """,
    ),
    (
        "a log of everything",
        "a.test {\n log\n kubernetes\n}",
        """
        dns://a.test.:53
          chain      log > kubernetes
          fast path  kubernetes: not in a.test., where log must see each question
        """,
    ),
    (
        "a log of some",
        "a.test {\n log {\n every 100\n }\n kubernetes\n}",
        """
        dns://a.test.:53
          chain      log > kubernetes
          fast path  kubernetes: a.test., but for what log would change or note
        """,
    ),
    (
        "the order in the file makes no difference",
        ". {\n forward . 127.0.0.1\n errors\n}",
        """
        dns://.:53
          chain      errors > forward
          fast path  nothing
        """,
    ),
    (
        "several zones, ports and addresses of one block",
        "a.test b.test:1053 {\n bind 127.0.0.1 127.0.0.2\n errors\n}",
        """
        dns://a.test.:53 on 127.0.0.1, dns://a.test.:53 on 127.0.0.2, dns://b.test.:1053 on 127.0.0.1,"""
        """ dns://b.test.:1053 on 127.0.0.2
          chain      bind > errors
          fast path  nothing
        """,
    ),
    (
        "an empty block",
        "a.test {\n}",
        """
        dns://a.test.:53
          chain      nothing: every answer is SERVFAIL
          fast path  nothing
        """,
    ),
)


@pytest.mark.parametrize(("title", "text", "lines"), DESCRIBED, ids=[title for title, *_ in DESCRIBED])
async def test_what_would_be_served(title: str, text: str, lines: str) -> None:
    """`kdns check` says where each block is, its chain in order, and what is fast."""
    expected = [line.removeprefix("        ") for line in lines.strip("\n").splitlines()][:None]
    assert list(describe(blocks(text))) == [line for line in expected if line.strip()]


MISTAKES = (
    (". {\n kuberntes\n}", "Corefile:2:2: unknown plugin 'kuberntes'"),
    (". {\n etcd\n cahce\n}", "Corefile:2:2: kdns does not have CoreDNS's plugin etcd"),
    (". {\n etcd\n cahce\n}", "Corefile:3:2: unknown plugin 'cahce'"),
    (". {\n errors\n}\n. {\n errors\n}", "Corefile:4:1: .:53 is served twice"),
    ("a.test:1053 b.test:1053 a.test:1053 {\n}", "'a.test:1053' stands for a.test. on port 1053 a second time"),
    (". {\n bind 127.0.0.1\n}\n. {\n bind 127.0.0.1 127.0.0.2\n}", "Corefile:4:1: .:53 is served twice"),
    (". {\n bind 127.0.0.1\n}\na.test {\n}", "port 53 is served with bind here, without it elsewhere"),
    (". {\n bind lo0.nowhere\n}", "'lo0.nowhere' is no IP address and no interface with one"),
    ("quic://. {\n errors\n}", "quic:// is not supported yet"),
    (". {\n kubernetes {\n  multicluster a.test\n }\n}", "Corefile:3:16: multicluster a.test. is not one of the zones"),
    (". {\n kubernetes a.test {\n  labels a in (b\n }\n}", "Corefile:2:2: "),
    (". {\n health\n health\n}", "Corefile:3:2: 'health' stands twice in this server block"),
)


@pytest.mark.parametrize(("text", "problem"), MISTAKES, ids=[problem for _, problem in MISTAKES])
def test_mistakes(text: str, problem: str) -> None:
    """Each mistake is told with its place, all of a file together."""
    with pytest.raises(ConfigError) as caught:
        plans(text)
    assert problem in str(caught.value)


async def test_one_port_has_one_site_for_each_address() -> None:
    """Blocks with different addresses are apart, those with the same ones share the port."""
    found = routers(blocks("a.test {\n bind 127.0.0.1\n}\nb.test {\n bind 127.0.0.1 127.0.0.2\n}\nc.test:1053 {\n}"))
    assert {listener: len(site.blocks) for listener, site in found.items()} == {
        Listener("dns", "127.0.0.1", 53): 2,
        Listener("dns", "127.0.0.2", 53): 1,
        Listener("dns", "", 1053): 1,
    }


async def test_zones_of_a_block_share_its_plugins() -> None:
    """A block with several zones and ports is built once."""
    found = routers(blocks("a.test b.test:1053 {\n errors\n}"))
    first, second = (site.blocks[0] for site in found.values())
    assert first.built == second.built
    assert (list(first.zones.values()), list(second.zones.values())) == (["a.test."], ["b.test."])


def test_process_settings() -> None:
    """What the blocks ask of the server itself."""
    process = process_settings(
        plans(KUBEADM + "a.test {\n debug\n health :8080\n prometheus :9253\n timeouts {\n idle 20s\n }\n}")
    )
    assert process.health == (":8080",)
    assert process.ready == (":8181",)
    assert process.metrics == (":9153", ":9253")
    assert process.lameduck == 5
    assert process.reload is not None
    assert process.debug
    assert not process.continuously
    assert [limit.idle for limit in process.limits.values()] == [20]


def test_flags_are_a_server_block() -> None:
    """`kdns serve` without a Corefile is one block for the zones of the cluster, with the pages that are on."""
    options = KubernetesOptions(zones=("cluster.local.", "10.96.0.0/12"))
    settings = ServeSettings(kubernetes=options, listen=("127.0.0.1",), port=1053, ready="")
    (plan,) = plan_settings(settings)
    assert [step.name for step in plan.steps] == ["health", "prometheus", "kubernetes"]
    assert list(banner_lines((plan,), {}))[:2] == [
        "cluster.local.:1053 on 127.0.0.1",
        "96.10.in-addr.arpa.:1053 on 127.0.0.1",
    ]


def test_equal_blocks_say_the_same() -> None:
    """Layout and comments make no difference to what a block says, another option does."""
    first, second = plans("a.test {\n cache 30\n errors\n}"), plans("# new\na.test {\n   cache   30 # s\n errors\n}")
    third = plans("a.test {\n cache 31\n errors\n}")
    assert first[0].identity == second[0].identity
    assert first[0].identity != third[0].identity


async def test_a_plugin_from_a_folder_in_a_chain(tmp_path: Path) -> None:
    """`kdns check` says where it came from, and a parse or build that fails is told at its place."""
    good = (
        "from kdns.dns.api.plugin import Built\nNAME = 'mine'\nBEFORE = 'forward'\n"
        "def parse(directives, place):\n    return int(directives[0].args[0].text)\n"
        "def build(options, parts):\n    return Built() if options else 1 / 0\n"
    )
    (tmp_path / "mine.py").write_text(good)
    text = ". {{\n forward . 127.0.0.1\n mine {}\n errors\n}}"
    lines = list(describe(blocks(text.format(1), str(tmp_path))))
    assert lines[1:3] == ["  chain      errors > mine > forward", f"  mine comes from {tmp_path / 'mine.py'}"]
    with pytest.raises(ConfigError, match="plugin mine cannot read this: ValueError"):
        plans(text.format("x"), str(tmp_path))
    with pytest.raises(ConfigError, match="plugin mine cannot be built: ZeroDivisionError"):
        blocks(text.format(0), str(tmp_path))


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_what_no_answer_depends_on_is_left_out(name: str) -> None:
    """CoreDNS's Corefiles with such a directive are served; the warning has its place and says what is not done."""
    text = f".:53 {{\n    {name} one two {{\n        three\n    }}\n    whoami\n}}\n"
    (plan,) = plans(text)
    assert [step.name for step in plan.steps] == ["whoami"]
    (warning,) = blocks(text)[0].warnings
    assert str(warning).startswith(f"/etc/coredns/Corefile:2:5: {name} is left out: {LEFT_OUT[name]}")


def test_a_plugin_of_that_name_is_not_left_out(tmp_path: Path) -> None:
    """One from a folder takes its place."""
    (tmp_path / "trace.py").write_text(
        "from kdns.dns.api.plugin import Built\nNAME = 'trace'\nBEFORE = 'forward'\n"
        "def parse(directives, place):\n    return None\ndef build(options, parts):\n    return Built()\n"
    )
    (plan,) = plans(". {\n trace\n}", str(tmp_path))
    assert [step.name for step in plan.steps] == ["trace"]
    assert plan.warnings == ()
