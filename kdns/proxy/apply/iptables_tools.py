"""Which iptables to speak to: a kernel can hold rules of two variants side by side, and all must write to the same."""

import re
from typing import Final, NamedTuple

from kdns.base.errors import ConfigError, KernelError
from kdns.kernel.run import Runner, Tallier
from kdns.proxy.model import Family

PROGRAMS: Final = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
LOCK_SECONDS: Final = 5
"""How long a tool waits for others that write rules."""
LOCKED: Final = 4
"""The exit status of a tool that waited in vain, or found too little memory."""
_VERSION: Final = re.compile(r"v(\d+)\.(\d+)(?:\.(\d+))?(?: \((\w+)\))?")
_HINTS: Final = re.compile(rb"^:KUBE-(?:IPTABLES-HINT|KUBELET-CANARY)", re.MULTILINE)
_RULES: Final = re.compile(rb"^-A", re.MULTILINE)


class Tool(NamedTuple):
    """One variant of iptables for one family."""

    program: str
    """As it is called: ``iptables-legacy``."""
    version: tuple[int, int, int]
    nft: bool
    """It keeps its rules in nf_tables."""

    @property
    def modern(self) -> bool:
        """Restores can wait for the lock, and ports of masqueraded connections can be chosen at random."""
        return self.version >= (1, 6, 2)

    def command(self, table: str, *words: str) -> tuple[str, ...]:
        """A single command, as argv."""
        return self.program, "-w", str(LOCK_SECONDS), "-t", table, *words

    @property
    def restore(self) -> tuple[str, ...]:
        """What takes scripts, as argv."""
        wait = ("-w", str(LOCK_SECONDS)) if self.modern else ()
        return f"{self.program}-restore", *wait, "--noflush", "--counters"

    def save(self, table: str = "") -> tuple[str, ...]:
        """What prints a table's rules, or all tables', as argv."""
        return f"{self.program}-save", *(("-t", table) if table else ())


async def installed(family: Family, run: Runner) -> list[Tool]:
    """The variants that are installed; the default one, if there is one, comes last."""
    tools = []
    for suffix in ("-nft", "-legacy", ""):
        program = PROGRAMS[family] + suffix
        try:
            text = await run((program, "--version"))
        except KernelError as error:
            if error.code == 127:  # not installed
                continue
            raise
        match = _VERSION.search(text)
        if match is None:
            raise ConfigError(f"{program} --version says {text.strip()!r}, which is no version of iptables")
        version = int(match[1]), int(match[2]), int(match[3] or 0)
        tools.append(Tool(program, version, match[4] == "nf_tables"))
    return tools


async def detect(family: Family, run: Runner, tally: Tallier) -> Tool:
    """The variant that the kubelet uses, or else the one that has more rules, or else the default.

    Raises ConfigError if none is installed.
    """
    tools = await installed(family, run)
    if not tools:
        raise ConfigError(
            f"mode iptables needs {PROGRAMS[family]}, which is not installed",
            hint="the Debian package iptables brings it; mode nftables does without",
        )
    nft = next((tool for tool in tools if tool.nft), None)
    legacy = next((tool for tool in tools if not tool.nft), None)
    if nft is None or legacy is None:
        return tools[0]
    # Legacy without a table's name prints those in use; to name one would bring it, and its hooks, into the kernel.
    hints = {tool: (await tally(tool.save("mangle" if tool.nft else ""), _HINTS)).total() for tool in (nft, legacy)}
    if hints[nft] == hints[legacy]:
        hints = {tool: (await tally(tool.save(), _RULES)).total() for tool in (nft, legacy)}
    if hints[nft] == hints[legacy]:
        return nft if tools[-1].nft else legacy
    return max(hints, key=hints.__getitem__)
