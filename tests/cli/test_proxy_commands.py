"""What ``kdns proxy`` and ``kdns rules`` do without following a cluster, and what a dry run leaves alone."""

import asyncio
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from kdns.base.errors import ConfigError, KernelError
from kdns.base.listen_address import Address
from kdns.cli.one_shot import run_one_shot
from kdns.cli.print_rules import print_rules
from kdns.cli.run_node import node
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.config.kubeproxy.parsing import parse_kubeproxy
from kdns.config.kubeproxy.settings import IptablesSettings, NodePortAddresses, ProxySettings
from kdns.config.settings import ServeSettings
from kdns.ops.listen import listen
from kdns.ops.shutdown import Stop
from kdns.proxy.app import ProxyApp
from kdns.proxy.apply.applier import Applier
from kdns.proxy.model import Family, Mode
from tests.build import network
from tests.fakes.api_server import SYSTEM_NODE_PROXIER, FakeApiServer
from tests.fakes.machine import FakeMachine
from tests.fakes.objects import node as node_body
from tests.ports import free_port
from tests.proxy.test_app import NODE, endpoints, web
from tests.proxy.test_proxier import FakeApplier
from tests.running import PATIENCE


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A file with a Service on two addresses of which nobody may have one, its endpoints, and our Node."""
    objects = [node_body(NODE, "172.18.0.2"), web(("203.0.113.5",)), endpoints("10.244.0.5", "10.244.0.6")]
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    return str(file)


def command(mode: Mode = "iptables", **more: Any) -> ProxyCommand:
    """A command in a mode, on our node."""
    return ProxyCommand(ProxySettings(mode=mode, hostname_override=NODE), **more)


PRINTED = {
    "iptables": ("-A KUBE-SERVICES ", "KUBE-SEP-", "--to-destination 10.244.0.6:8080"),
    "nftables": ("add table ip kube-proxy", "10.96.0.9 . tcp . 80", "10.244.0.6 . 8080"),
    "ipvs": ("10.96.0.9:80", "10.244.0.6:8080", "203.0.113.5"),
}


@pytest.mark.parametrize("mode", list(PRINTED))
async def test_rules_are_printed(source: str, mode: Mode) -> None:
    """As they would be written; of one Service, if it is named."""
    for service in ("", "shop/web"):
        out = io.StringIO()
        assert await print_rules(command(mode, source=source), node_name="", service=service, out=out) == 0
        text = out.getvalue()
        assert text.startswith("# IPv4: 1 service port\n")
        assert [one for one in PRINTED[mode] if one not in text] == []


async def test_rules_of_a_service_that_is_not_there(source: str) -> None:
    """Nothing to print is worth saying; a name without a namespace is of the default one."""
    with pytest.raises(ConfigError, match="no Service default/web") as caught:
        await print_rules(command(source=source), node_name="", service="web", out=io.StringIO())
    assert caught.value.hint == "did you mean shop/web?"


async def test_a_dry_run_prints_and_leaves_everything_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """No kernel, no sysctl, no port, no Event: where the ports are taken and the kernel is another's, it runs."""

    def forbidden(mode: Mode, family: Family) -> Applier:
        raise AssertionError(f"a dry run must not write rules: {mode}, {family}")

    ports = [free_port() for _ in range(3)]
    local = web(("169.254.169.254",), externalTrafficPolicy="Local", healthCheckNodePort=ports[0])
    settings = ProxySettings(
        hostname_override=NODE,
        healthz_bind_address=f"127.0.0.1:{ports[1]}",
        metrics_bind_address=f"127.0.0.1:{ports[2]}",
        bind_address_hard_fail=True,
    )
    machine = FakeMachine(settings)
    machine.make = forbidden
    objects = (node_body(NODE, "172.18.0.2"), local, endpoints("10.244.0.5"))
    with contextlib.ExitStack() as taken:
        for port in ports:
            taken.enter_context(listen(Address("", port)))
        async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api:
            stop = Stop()
            async with asyncio.timeout(PATIENCE):
                await ProxyApp(ProxyCommand(settings, source=api.url, dry_run=True), machine).run(stop)
            assert stop.status == 0
            assert not api.events
    assert machine.done == []
    printed = capsys.readouterr().out
    assert "# IPv4, iptables: 1 service port\n" in printed
    assert "--to-destination 10.244.0.5:8080" in printed


async def test_a_configuration_is_written_and_says_the_same(tmp_path: Path) -> None:
    """What cannot be written is told."""
    settings = ProxySettings(
        mode="nftables", hostname_override="n", node_port_addresses=NodePortAddresses(primary=True)
    )
    file = tmp_path / "config.conf"
    assert await run_one_shot(ProxyCommand(settings, write_config_to=str(file))) == 0
    assert parse_kubeproxy(file.read_text(), "config.conf") == (settings, ())
    with pytest.raises(ConfigError, match=r"--write-config-to: cannot write .*: No such file"):
        await run_one_shot(ProxyCommand(settings, write_config_to=str(tmp_path / "no" / "such")))


class Cleaning(FakeApplier):
    """Mode ipvs is not there; some go wrong."""

    def __init__(self, name: str, fails: str, done: list[str]) -> None:
        super().__init__()
        self.name, self.fails, self.done = name, fails, done

    async def cleanup(self) -> None:
        """Note it, or fail."""
        if self.name.startswith("ipvs"):
            raise ConfigError("mode ipvs needs IPVS in the kernel")
        if self.name == self.fails:
            raise KernelError(("nft",), 1, "Operation not permitted")
        self.done.append(self.name)


@pytest.mark.parametrize(("fails", "status"), [("", 0), ("iptables IPv6", 1)])
async def test_cleanup_is_of_every_mode(fails: str, status: int) -> None:
    """What a node never had is nothing to remove; what stays is exit status 1, and the rest goes all the same."""
    done: list[str] = []
    machine = FakeMachine(ProxySettings())
    machine.make = lambda mode, family: Cleaning(f"{mode} {family.value}", fails, done)
    assert await run_one_shot(command(cleanup=True), machine) == status
    every = ["iptables IPv4", "iptables IPv6", "nftables IPv4", "nftables IPv6"]
    assert done == [name for name in every if name != fails]


@pytest.mark.parametrize(
    ("settings", "routed"),
    [
        (ProxySettings(), True),
        (ProxySettings(mode="nftables"), False),
        (ProxySettings(iptables=IptablesSettings(localhost_node_ports=False)), False),
        (ProxySettings(node_port_addresses=NodePortAddresses(networks=(network("10.0.0.0/8"),))), False),
        (ProxySettings(node_port_addresses=NodePortAddresses(primary=True)), False),
    ],
)
async def test_init_only_sets_what_needs_privileges(settings: ProxySettings, routed: bool) -> None:
    """Connection tracking; loopback is routed only where node ports are on it. What fails is exit status 1."""
    machine = FakeMachine(settings)
    assert await run_one_shot(ProxyCommand(settings, init_only=True), machine) == 0
    assert machine.done == ["load conntrack", "apply conntrack", *(["route localnet"] if routed else [])]
    machine.problems = ("read-only",)
    assert await run_one_shot(ProxyCommand(settings, init_only=True), machine) == 1


async def test_a_node_must_say_where_its_dns_is(tmp_path: Path) -> None:
    """Port 53 of some address may be another server's."""
    corefile = tmp_path / "Corefile"
    corefile.write_text(".:53 {\n    whoami\n}\n")
    with pytest.raises(ConfigError, match="would take every address of the node"):
        await node(ServeSettings(corefile=str(corefile)), command(source="x"), set_up=lambda _: Stop())
