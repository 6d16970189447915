"""Writing and removing rules by iptables, with a runner that notes commands and answers as the tools do."""

from collections.abc import Sequence

from kdns.base.errors import KernelError
from kdns.nodelocal import iptables
from kdns.nodelocal.rules import IptablesLocalRules
from tests.build import packed

V4 = packed("10.96.0.10")
NOTHING = "*raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"
OURS = "*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n*raw\n:KDNS-DNS-OUTPUT - [0:0]\n-A OUTPUT -j KDNS-DNS-OUTPUT\nCOMMIT\n"


class Tools:
    """iptables-nft and iptables-legacy, both families, each with the tables it saves."""

    def __init__(self, **saved: str) -> None:
        self.saved = {program.replace("_", "-"): text for program, text in saved.items()}
        self.commands: list[str] = []
        self.jumps = {"raw OUTPUT": 2}
        """Rules that jump to ours, by table and chain."""

    async def run(self, argv: Sequence[str], stdin: str | bytes = b"", patience: float = 0.0) -> str:
        """As `kdns.kernel.run.run`."""
        self.commands.append(" ".join(argv))
        program, words = argv[0], list(argv[1:])
        if program.endswith("-save"):
            return self.saved.get(program.removesuffix("-save"), "")
        if "-C" in words or "-D" in words:
            table, chain = words[words.index("-t") + 1], words[words.index("-t") + 3]
            if not self.jumps.get(f"{table} {chain}"):
                raise KernelError(argv, 1, "Bad rule (does a matching rule exist in that chain?).")
            self.jumps[f"{table} {chain}"] -= "-D" in words
        return ""

    def rules(self) -> IptablesLocalRules:
        """Rules that are written by legacy."""

        async def detect(width: int) -> list[str]:
            return ["iptables-legacy" if width == 4 else "ip6tables-legacy"]

        async def variants(width: int) -> list[str]:
            return [f"{'iptables' if width == 4 else 'ip6tables'}{suffix}" for suffix in ("-nft", "-legacy")]

        return IptablesLocalRules(detect, variants, self.run)


async def test_to_remove_is_not_to_make() -> None:
    """A table of legacy is not named unless it has rules of ours, or it and its hooks would be made on every node."""
    tools = Tools()
    await tools.rules().remove()
    assert [command for command in tools.commands if "legacy" in command] == [
        "iptables-legacy-save",
        "ip6tables-legacy-save",
    ]
    assert not [command for command in tools.commands if "-restore" in command]


async def test_every_jump_goes_before_the_chains() -> None:
    """A chain that something jumps to is not deleted (iptables(8)), and a jump may be there twice."""
    tools = Tools(iptables_legacy=OURS)
    await tools.rules().remove()
    changes = [command for command in tools.commands if " -D " in command or "-restore" in command]
    assert changes == [
        *["iptables-legacy -w 5 -t raw -D OUTPUT -j KDNS-DNS-OUTPUT"] * 2,
        "iptables-legacy-restore -w 5 --noflush",
    ]


async def test_a_family_that_the_service_has_lost() -> None:
    """Its rules go with the next writing; those of the other family are written and stay."""
    tools = Tools(ip6tables_legacy=OURS, iptables_legacy=OURS)
    tools.jumps = {}
    rules = tools.rules()
    await rules.write([V4])
    restores = [command for command in tools.commands if "-restore" in command]
    assert restores == ["iptables-legacy-restore -w 5 --noflush", "ip6tables-legacy-restore -w 5 --noflush"]
    assert [command for command in tools.commands if " -I " in command] == [
        f"iptables-legacy -w 5 -t {table} -I {hook} -j {chain}" for table, hook, chain in iptables.JUMPS
    ]


async def test_what_another_program_changes_is_noticed() -> None:
    """A jump that was flushed away, as by a firewall that is loaded again; rules of others are of no interest."""
    tools = Tools(iptables_legacy=OURS)
    rules = tools.rules()
    await rules.write([V4])
    assert await rules.intact()
    tools.saved["iptables-legacy"] = OURS.replace("COMMIT", "-A OUTPUT -j ACCEPT\nCOMMIT")
    assert await rules.intact()
    tools.saved["iptables-legacy"] = NOTHING
    assert not await rules.intact()
