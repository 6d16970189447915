"""The fixed rules of the IPVS mode are written when they differ and removed with care; settings of the kernel."""

from collections.abc import Sequence

import pytest

from kdns.base.errors import ConfigError, KernelError
from kdns.proxy.apply.ipvs import Ipvs, IpvsSettings, sysctls
from kdns.proxy.apply.ipvs_rules import IpvsRules, Variant
from kdns.proxy.model import Family, NodeRules
from kdns.proxy.render.ipvs.tables import tables

NODE = NodeRules(Family.IPV4)
WANTED = tables(NODE)


class Tool:
    """iptables-save and -restore with one text for each table; restoring puts in what is asked, as it is asked."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts
        self.restored: list[str] = []
        self.tools: set[str] = set()

    async def __call__(self, argv: Sequence[str], stdin: str | bytes = b"", patience: float = 300) -> str:
        self.tools.add(argv[0])
        if argv[0].endswith("-save"):
            return self.texts.get(argv[2], "")
        assert isinstance(stdin, str)
        self.restored.append(stdin)
        for part in stdin.split("*")[1:]:
            name, _, rest = part.partition("\n")
            lines = [line.replace("-I ", "-A ") for line in rest.splitlines() if line[:3] in {"-A ", "-I "}]
            self.texts[name] = self.texts.get(name, "") + "\n".join((*lines, ""))
        return ""


async def test_written_once() -> None:
    """What is there as we left it is not written again; what others change is."""
    tool = Tool()
    rules = IpvsRules(Family.IPV4, tool, "legacy")
    written = await rules.write(WANTED)
    assert written == sum(len(chain) for table in WANTED.values() for chain in table.chains.values()) + 11
    assert tool.tools == {"iptables-legacy-save", "iptables-legacy-restore"}
    assert await rules.write(WANTED) == 0
    assert await rules.intact(WANTED)
    tool.texts["nat"] = tool.texts["nat"].replace("-j KUBE-LOAD-BALANCER\n", "-j KUBE-MARK-MASQ\n")
    assert not await rules.intact(WANTED)
    assert await rules.write(WANTED) > 0


async def test_rules_of_others_do_not_matter() -> None:
    """Somebody else's rule in a chain that is everybody's is no change of ours."""
    tool = Tool()
    rules = IpvsRules(Family.IPV6, tool)
    await rules.write(WANTED)
    tool.texts["nat"] = "-A PREROUTING -p tcp -j DOCKER\n" + tool.texts["nat"]
    assert await rules.intact(WANTED)
    assert await rules.write(WANTED) == 0
    assert tool.tools == {"ip6tables-save", "ip6tables-restore"}


async def test_only_missing_jumps_are_put_in() -> None:
    """Jumps are not doubled by a proxier that has just started."""
    tool = Tool(nat='-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\n')
    await IpvsRules(Family.IPV4, tool).write(WANTED)
    assert '-I PREROUTING -m comment --comment "kubernetes service portals"' not in tool.restored[0]
    assert '-I OUTPUT -m comment --comment "kubernetes service portals"' in tool.restored[0]


NAT = """\
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-HOSTPORTS - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -j KUBE-HOSTPORTS
-A KUBE-HOSTPORTS -j KUBE-MARK-MASQ
-A KUBE-SERVICES -j KUBE-MARK-MASQ
COMMIT
"""


async def test_a_chain_that_others_use_is_emptied_and_stays() -> None:
    """A cleanup takes away what is ours; what leads to our chains from elsewhere keeps a chain to lead to."""
    tool = Tool(nat=NAT)
    await IpvsRules(Family.IPV4, tool).cleanup(WANTED)
    assert tool.restored == [
        "\n".join(
            (
                "*nat",
                ":KUBE-MARK-MASQ - [0:0]",
                ":KUBE-SERVICES - [0:0]",
                '-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
                "-X KUBE-SERVICES",
                "COMMIT",
                "",
            )
        )
    ]


async def test_nothing_to_clean_up() -> None:
    """Without chains of ours no tool is told anything."""
    tool = Tool()
    await IpvsRules(Family.IPV4, tool).cleanup(WANTED)
    assert tool.restored == []


async def test_a_refusal_is_told() -> None:
    """What the tool does not take is an error for the proxier."""

    async def refuse(argv: Sequence[str], stdin: str | bytes = b"", patience: float = 300) -> str:
        if "restore" in argv[0]:
            raise KernelError(argv, 2, "line 3 failed")
        return ""

    with pytest.raises(KernelError, match="line 3 failed"):
        await IpvsRules(Family.IPV4, refuse).write(WANTED)


@pytest.mark.parametrize(
    ("release", "needed"), [("4.0.1", False), ("4.19.0-26", True), ("5.9.0", False), ("6.1", False)]
)
def test_reusing_ports_needs_help_on_some_kernels(release: str, needed: bool) -> None:
    """From 4.1 until 5.9 a setting keeps new connections from waiting a second."""
    found = dict(sysctls(Family.IPV4, False, release))
    assert ("net/ipv4/vs/conn_reuse_mode" in found) == needed
    assert found["net/ipv4/ip_forward"] == 1
    assert "net/ipv4/conf/all/arp_ignore" not in found
    assert dict(sysctls(Family.IPV6, True, release))["net/ipv4/conf/all/arp_announce"] == 2


@pytest.mark.parametrize(
    ("variant", "works", "used"),
    [
        ("", ("iptables", "iptables-legacy"), "iptables"),
        ("", ("iptables-legacy",), "iptables-legacy"),
        ("nft", ("iptables-nft", "iptables-legacy"), "iptables-nft"),
        ("", (), ""),
        ("nft", ("iptables-legacy",), ""),
    ],
)
async def test_the_iptables_that_works_is_used(
    monkeypatch: pytest.MonkeyPatch, variant: Variant, works: tuple[str, ...], used: str
) -> None:
    """Without a choice legacy stands in for a plain name that does not work; a choice stands. All by trying."""
    tried: list[str] = []

    async def some(argv: Sequence[str], stdin: str | bytes = b"", patience: float = 300) -> str:
        if argv[0].removesuffix("-restore") not in works:
            raise KernelError(argv, 4, "Could not fetch rule set generation id")
        tried.append(str(stdin))
        return ""

    monkeypatch.setattr(Ipvs, "_prepare", lambda _: None)
    applier = Ipvs(NODE, IpvsSettings(), some, variant)
    if not used:
        with pytest.raises(ConfigError, match=r"generation id.*\n.*xt_set"):
            await applier.prepare()
        return
    await applier.prepare()
    assert applier.rules.tool == used
    assert "-A KUBE-IPVS-PROBE -j MASQUERADE --random-fully" in tried[0]
    assert "--map-mark" in tried[0]
    assert tried[1].count("-X KUBE-IPVS-PROBE") == len(WANTED)
