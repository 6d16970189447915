"""The proxy: whether tools and kernel can do what the mode needs, its ports, and the Service rules that are there."""

import re
from collections.abc import Iterator, Sequence

from kdns.base.errors import ConfigError, KernelError
from kdns.base.listen_address import parse_address_port
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.kernel.run import Runner, run
from kdns.preflight.model import Line, fail, note, ok, warn
from kdns.proxy.machine import Machine
from kdns.proxy.model import Family, RuleSet

CHAINS = re.compile(r"^:KUBE-SVC-", re.MULTILINE)
TABLES = re.compile(r"^table ip6? kube-proxy$", re.MULTILINE)


def configuration(command: ProxyCommand) -> Iterator[Line]:
    """What its file or flags say that is passed over, and the mode."""
    for warning in command.warnings:
        yield warn("configuration", warning)
    yield ok("configuration", f"{command.config or 'flags'}: mode {command.settings.mode}")


def http_ports(command: ProxyCommand) -> list[tuple[str, int]]:
    """Addresses and ports of its pages; the empty address stands for all."""
    texts = (command.settings.healthz_bind_address, command.settings.metrics_bind_address)
    addresses = [parse_address_port(text) for text in texts if text]
    return [("" if address.host in ("0.0.0.0", "::") else address.host, address.port) for address in addresses]


async def features(command: ProxyCommand, machine: Machine, runner: Runner = run) -> list[Line]:
    """Whether rules of the mode can be written: the kernel is asked to check them, or an empty chain is made.

    That chain is removed again where iptables has no Service rules (mode ipvs has some there, too); beside such rules
    it is one that they have themselves.
    """
    lines, mode = [], command.settings.mode
    for family in machine.families():
        about, applier = f"mode {mode} ({family.value})", machine.applier(mode, family)
        try:
            await applier.prepare()
            there = await rules_of(runner)
            if not there["iptables"] and not there["ipvs"] and mode != "nftables":
                await applier.cleanup()
        except (ConfigError, KernelError) as error:
            problem, hint = (error.problem, error.hint) if isinstance(error, ConfigError) else (str(error), "")
            lines.append(fail(about, problem, hint or "see the tool's words above"))
        else:
            lines.append(ok(about, "tools and kernel have all that its rules need"))
    return lines


async def rules_of(runner: Runner = run) -> dict[str, int]:
    """Mode -> how many chains, tables or links the kernel has of it, whatever wrote them."""
    tables = await _output(("nft", "list", "tables"), runner)
    chains = [await _output((f"iptables-{variant}-save", "-t", "nat"), runner) for variant in ("nft", "legacy")]
    link = await _output(("ip", "-o", "link", "show", "kube-ipvs0"), runner)
    return {
        "iptables": sum(len(CHAINS.findall(text)) for text in chains),
        "nftables": len(TABLES.findall(tables)),
        "ipvs": int(bool(link)),
    }


async def present(mode: str, runner: Runner = run) -> list[Line]:
    """Service rules that the kernel has now, of kube-proxy or of an earlier kdns, and what becomes of them."""
    lines = []
    for there, count in (await rules_of(runner)).items():
        if count and there == mode:
            shown = f" ({count} service ports)" if there == "iptables" else ""
            lines.append(note("rules", f"rules of mode {there} are there{shown}; they are taken over as they are"))
        elif count:
            lines.append(note("rules", f"rules of mode {there} are there; they are removed once those of {mode} work"))
    return lines or [note("rules", "the kernel has no Service rules")]


async def _output(argv: Sequence[str], runner: Runner) -> str:
    try:
        return await runner(argv, patience=30.0)
    except KernelError:
        return ""  # no such tool, or no such table: it has written nothing


def would_write(mode: str, sets: Sequence[RuleSet]) -> Iterator[Line]:
    """How many service ports the rules would have."""
    for rules in sets:
        if rules.ports or rules.node.family is Family.IPV4:
            count = len(rules.ports)
            ports = f"{count} service port{'s' * (count != 1)} of {rules.node.family.value}"
            todo = "kdns rules prints them; on a node, kdns rules --diff compares"
            yield note("would write", f"{ports}, mode {mode}", todo)
