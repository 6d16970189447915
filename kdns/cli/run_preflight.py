"""What ``kdns preflight`` does: every look that there is for what is to be installed, in the order of a reader."""

import os
import sys
from collections.abc import AsyncIterator
from typing import Final, TextIO

from kdns.base.errors import ConfigError
from kdns.cli.print_rules import read_rules
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.config.settings import KubernetesOptions, ServeSettings
from kdns.config.source import Manifests, parse_source
from kdns.dns.server.plan import ServerBlockPlan
from kdns.kernel.run import Runner, run
from kdns.preflight import cluster, dns, node, proxy
from kdns.preflight.model import Line, fail, failed, note, summary
from kdns.preflight.sockets import Sockets
from kdns.proxy.machine import Machine
from kdns.watch.api.client import Api, open_session
from kdns.watch.api.cluster import load_credentials
from kdns.watch.follower import proxy_wants, wants
from kdns.watch.source import Want

SILENCE: Final = 20.0
"""Seconds that the API server may take for an answer."""


class Asked:
    """What is to be looked at."""

    def __init__(
        self,
        what: str,
        command: ProxyCommand,
        source: str,
        serving: ServeSettings,
        machine: Machine,
        sockets: Sockets,
        runner: Runner = run,
    ) -> None:
        """``what`` is dns, proxy or node; ``source`` is empty where no API server is asked."""
        self.dns, self.proxy = what != "proxy", what != "dns"
        self.command, self.source, self.serving = command, source, serving
        self.machine, self.sockets, self.runner = machine, sockets, runner
        self.plans: tuple[ServerBlockPlan, ...] = ()


async def preflight(
    what: str, command: ProxyCommand, source: str, conf: str, plugins: str, out: TextIO | None = None
) -> int:
    """Print a line for each look, as soon as it is known, then how it looks in all; 1 if something would not work."""
    asked = Asked(
        what, command, source, ServeSettings(corefile=conf, plugins=plugins), Machine(command.settings), Sockets()
    )
    return await report(asked, out or sys.stdout)


async def report(asked: Asked, out: TextIO) -> int:
    """As `preflight`, of any machine."""
    lines = []
    async for line in looks(asked):
        lines.append(line)
        print(line, file=out, flush=True)
    print(summary(lines), file=out)
    return 1 if failed(lines) else 0


async def looks(asked: Asked) -> AsyncIterator[Line]:
    """All of them."""
    for line in (*node.kernel(), *node.running(asked.sockets)):
        yield line
    if asked.dns:
        for line in _dns(asked):
            yield line
    if asked.proxy:
        async for line in _proxy(asked):
            yield line
    if not asked.source:
        yield note("cluster", "no API server is asked", "give --source kubeconfig, or run this in a Pod")
    elif isinstance(parse_source(asked.source), Manifests):
        yield note("cluster", f"{asked.source} is a folder or file; rights are not looked at")
    else:
        async for line in _cluster(asked):
            yield line
    if asked.source and asked.proxy:
        async for line in _would_write(asked):
            yield line


def _dns(asked: Asked) -> list[Line]:
    if not asked.serving.corefile:
        return [note("Corefile", "none is given", "give --conf FILE; with --source, that of ConfigMap coredns is read")]
    lines, asked.plans = dns.corefile(asked.serving)
    wanted = dns.ports_of(asked.plans)
    return [*lines, *dns.ports(wanted, asked.sockets), *node.low_ports([port for _, _, port in wanted])]


async def _proxy(asked: Asked) -> AsyncIterator[Line]:
    settings = asked.command.settings
    for line in (*proxy.configuration(asked.command), *node.for_rules(), *node.sysctls(settings.conntrack)):
        yield line
    for line in await proxy.present(settings.mode, asked.runner):
        yield line
    for line in await proxy.features(asked.command, asked.machine, asked.runner):
        yield line
    ports: list[dns.Port] = [("tcp", address, port) for address, port in proxy.http_ports(asked.command)]
    for line in dns.ports(ports, asked.sockets):
        yield line


async def _cluster(asked: Asked) -> AsyncIterator[Line]:
    spec = parse_source(asked.source)
    assert not isinstance(spec, Manifests)
    try:
        credentials = await load_credentials(spec)
    except ConfigError as error:
        yield fail("cluster", error.problem, error.hint or "give another --source")
        return
    async with open_session() as session:
        api = Api(session, credentials, watch_timeout=SILENCE)
        for line in await cluster.rights(api, _wanted(asked)):
            yield line
        for line in await cluster.installed(api):
            yield line
        if asked.dns:
            for line in await cluster.dns_service(api):
                yield line
            if not asked.serving.corefile:
                for line in await cluster.coredns_corefile(api):
                    yield line


def _wanted(asked: Asked) -> list[Want]:
    """What would be followed."""
    wanted: list[Want] = []
    if asked.dns:
        options = [plan.options("kubernetes") for plan in asked.plans]
        known = [option for option in options if isinstance(option, KubernetesOptions)] or [KubernetesOptions()]
        wanted += [want for kubernetes in known for want in wants(kubernetes)]
    if asked.proxy:
        settings = asked.command.settings
        wanted += proxy_wants(settings.node_name(os.uname().nodename), every_node=settings.mode == "ipvs")
    return wanted


async def _would_write(asked: Asked) -> AsyncIterator[Line]:
    command = asked.command
    try:
        sets, _ = await read_rules(command)
    except ConfigError as error:
        yield fail("would write", error.problem, error.hint or "see the rights above")
        return
    for line in proxy.would_write(command.settings.mode, sets):
        yield line
