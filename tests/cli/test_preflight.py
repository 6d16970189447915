"""`kdns preflight`: what is looked at for what, and the exit status."""

import io
from pathlib import Path

import pytest

from kdns.cli import main as cli
from kdns.cli.run_preflight import Asked, report
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.config.settings import ServeSettings
from kdns.preflight.sockets import Sockets
from tests.fakes.api_server import SYSTEM_NODE_PROXIER, FakeApiServer
from tests.fakes.machine import FakeMachine
from tests.fakes.objects import endpoint_slice, namespace, node, service
from tests.preflight.proc import machine
from tests.preflight.test_proxy import Applier, FakeTools

COREFILE = ".:1053 {\n    kubernetes cluster.local\n}\n"


def asked(tmp_path: Path, what: str, text: str = COREFILE, source: str = "") -> Asked:
    """On a machine with nothing on it, but for what this one's /proc says of sysctls and privileges."""
    path = tmp_path / "Corefile"
    path.write_text(text)
    settings = ProxySettings(hostname_override="node-1")
    fake = FakeMachine(settings)
    fake.make = lambda mode, family: Applier()
    sockets = Sockets(machine(tmp_path / "root", {1: "init"}))
    command = ProxyCommand(settings, source=source)
    return Asked(what, command, source, ServeSettings(corefile=str(path)), fake, sockets, FakeTools())


@pytest.mark.parametrize(
    ("what", "there", "absent"),
    [
        ("dns", {"kernel", "running", "Corefile", "ports"}, {"configuration", "rules"}),
        ("proxy", {"kernel", "running", "configuration", "rules", "privileges", "sysctl"}, {"Corefile"}),
        ("node", {"Corefile", "configuration", "rules"}, set()),
    ],
)
async def test_what_is_looked_at(tmp_path: Path, what: str, there: set[str], absent: set[str]) -> None:
    """Only what concerns the part that is to be installed."""
    out = io.StringIO()
    await report(asked(tmp_path, what), out)
    abouts = {line[5:].partition(":")[0] for line in out.getvalue().splitlines()[:-1] if not line.startswith(" ")}
    assert there <= abouts
    assert not absent & abouts
    assert "cluster" in abouts


async def test_exit_status(tmp_path: Path) -> None:
    """0 if kdns would work, 1 if not; the last line says which."""
    out = io.StringIO()
    assert await report(asked(tmp_path, "dns"), out) == 0
    assert out.getvalue().endswith("\nready\n")
    out = io.StringIO()
    other = tmp_path / "other"
    other.mkdir()
    assert await report(asked(other, "dns", ".:1053 {\n    nonsense\n}\n"), out) == 1
    assert out.getvalue().endswith("\n1 failure: not ready\n")


async def test_of_a_cluster(tmp_path: Path) -> None:
    """Rights are looked at, and how many service ports the rules would have."""
    objects = [node("node-1", "172.18.0.2"), namespace("shop"), service("shop", "web", "10.96.0.9", [("http", 80)]),
               endpoint_slice("shop", "web-1", "web", ["10.244.0.5"])]  # fmt: skip
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api:
        out = io.StringIO()
        await report(asked(tmp_path, "proxy", source=api.url), out)
    text = out.getvalue()
    assert "ok   rights: may list and watch services" in text
    assert "note would write: 1 service port of IPv4, mode iptables" in text


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From words to lines, on this machine."""
    path = tmp_path / "Corefile"
    path.write_text(".:1053 {\n    whoami\n    pprof\n}\n")
    assert cli.main(["preflight", "dns", "--conf", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(("ok   kernel: Linux ", "note kernel: Linux "))
    assert out.endswith("\nready: 1 warning\n")
