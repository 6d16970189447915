"""The proxy: tools, kernel, and the rules that are there."""

from collections.abc import Sequence

import pytest

from kdns.base.errors import ConfigError, KernelError
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.preflight import proxy
from kdns.preflight.model import Verdict
from kdns.proxy.model import Family
from tests.fakes.machine import FakeMachine
from tests.proxy.test_proxier import FakeApplier

LEGACY = """\
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-ERIFXISQEP7F7OF4 - [0:0]
:KUBE-SVC-JD5MR3NA4I4DYORP - [0:0]
COMMIT
"""
NFT = "table ip nat\ntable ip kube-proxy\ntable ip6 kube-proxy\n"


class FakeTools:
    """Tools that print what is given, and are otherwise not installed."""

    def __init__(self, **outputs: str) -> None:
        self.outputs = {name.replace("_", "-"): text for name, text in outputs.items()}

    async def __call__(self, argv: Sequence[str], stdin: str | bytes = b"", patience: float = 1.0) -> str:
        """See `kdns.kernel.run.Runner`."""
        if argv[0] in self.outputs:
            return self.outputs[argv[0]]
        raise KernelError(argv, 127, f"{argv[0]} is not installed")


PRESENT = (
    (FakeTools(), "iptables", ["the kernel has no Service rules"]),
    (FakeTools(iptables_legacy_save=LEGACY), "iptables", ["iptables are there (2 service ports); they are taken over"]),
    (FakeTools(iptables_nft_save=LEGACY), "nftables", ["iptables are there; they are removed once those of nftables"]),
    (FakeTools(nft=NFT), "nftables", ["nftables are there; they are taken over as they are"]),
    (FakeTools(ip="7: kube-ipvs0: <BROADCAST>", nft=NFT), "ipvs", ["nftables are there; they are removed", "ipvs are"]),
)


@pytest.mark.parametrize(("tools", "mode", "texts"), PRESENT)
async def test_rules_that_are_there(tools: FakeTools, mode: str, texts: list[str]) -> None:
    """Of each mode, and what becomes of them."""
    lines = await proxy.present(mode, tools)
    assert len(lines) == len(texts)
    for line, text in zip(lines, texts, strict=True):
        assert text in line.text
        assert line.verdict is Verdict.NOTE


class Applier(FakeApplier):
    """One that is asked to prepare."""

    def __init__(self, problem: Exception | None = None) -> None:
        super().__init__()
        self.problem, self.cleaned = problem, 0

    async def prepare(self) -> None:
        """Fail as given."""
        if self.problem is not None:
            raise self.problem

    async def cleanup(self) -> None:
        """Count."""
        self.cleaned += 1


FEATURES = (
    (None, Verdict.OK, "tools and kernel have all", ""),
    (ConfigError("needs nft", hint="the package is nftables"), Verdict.FAIL, "needs nft", "the package is nftables"),
    (
        KernelError(("iptables",), 4, "Another app holds the lock"),
        Verdict.FAIL,
        "holds the lock",
        "see the tool's words",
    ),
)


@pytest.mark.parametrize(("problem", "verdict", "text", "todo"), FEATURES)
async def test_features(problem: Exception | None, verdict: Verdict, text: str, todo: str) -> None:
    """What is missing is said with what brings it, for each family."""
    machine = FakeMachine(ProxySettings())
    machine.make = lambda mode, family: Applier(problem)
    lines = await proxy.features(ProxyCommand(ProxySettings()), machine, FakeTools())
    assert [line.about for line in lines] == ["mode iptables (IPv4)", "mode iptables (IPv6)"]
    for line in lines:
        assert line.verdict is verdict
        assert text in line.text
        assert todo in line.todo


@pytest.mark.parametrize(
    ("tools", "cleaned"),
    [
        (FakeTools(), 1),
        (FakeTools(nft=NFT), 1),
        (FakeTools(iptables_legacy_save=LEGACY), 0),
        (FakeTools(ip="7: kube-ipvs0: <BROADCAST>"), 0),
    ],
)
async def test_what_was_tried_is_removed_where_nothing_was(tools: FakeTools, cleaned: int) -> None:
    """Where rules are there already, nothing is removed."""
    machine = FakeMachine(ProxySettings())
    appliers = {family: Applier() for family in Family}
    machine.make = lambda mode, family: appliers[family]
    await proxy.features(ProxyCommand(ProxySettings()), machine, tools)
    assert [applier.cleaned for applier in appliers.values()] == [cleaned, cleaned]


def test_pages() -> None:
    """kube-proxy's two ports, at the addresses of the configuration; those that are off are not looked at."""
    assert proxy.http_ports(ProxyCommand(ProxySettings())) == [("", 10256), ("127.0.0.1", 10249)]
    off = ProxySettings(healthz_bind_address="", metrics_bind_address="[::1]:9")
    assert proxy.http_ports(ProxyCommand(off)) == [("::1", 9)]
