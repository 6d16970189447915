"""The commands about the Service data path: ``kdns proxy`` and ``kdns rules``."""

import asyncio
import logging
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

from kdns.base.errors import ConfigError, KernelError, first_mistake
from kdns.base.objects import (
    Change,
    Network,
    Node,
    NodeChange,
    ObjectKey,
    ServiceChange,
    ServiceCIDRChange,
    ServiceView,
)
from kdns.config.arguments import near
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.config.kubeproxy.writing import as_yaml
from kdns.kernel import sysctl
from kdns.kernel.capability import require_net_admin
from kdns.ops.process import prepare
from kdns.ops.shutdown import Stop
from kdns.proxy.app import ProxyApp, own_interfaces
from kdns.proxy.apply.modes import MODES, make_applier, script, service_ports
from kdns.proxy.conflicts import FrontendConflicts
from kdns.proxy.model import Family, RuleSet, ServicePortRules
from kdns.proxy.node_policy import node_policy, takes_localhost
from kdns.proxy.rules import Policy, rule_set, service_rules
from kdns.watch.follower import proxy_wants, read_once
from kdns.watch.open_source import build_source

LOG: Final = logging.getLogger("kdns.proxy")


async def proxy(command: ProxyCommand) -> int:
    """``kdns proxy``: the exit status. Raises ConfigError for what the operator must fix."""
    if (status := await run_one_shot(command)) is not None:
        return status
    prepare()
    if not command.dry_run:
        require_net_admin()
        sysctl.set_oom_score(command.settings.oom_score_adj)
    stop = Stop()
    stop.install()
    await ProxyApp(command).run(stop)
    return stop.status


async def run_one_shot(command: ProxyCommand) -> int | None:
    """What is done without following a cluster; None if it is not such a command."""
    for line in command.warnings:
        LOG.warning("%s", line)
    if command.write_config_to:
        try:
            await asyncio.to_thread(Path(command.write_config_to).write_text, as_yaml(command.settings))
        except OSError as error:
            raise ConfigError(f"--write-config-to: cannot write {error.filename}: {error.strerror}") from error
        LOG.info("the configuration is in %s", command.write_config_to)
        return 0
    if command.cleanup:
        return await clean_up(command.settings)
    if command.init_only:
        await sysctl.load_conntrack()
        problems = await asyncio.to_thread(sysctl.apply_conntrack, command.settings.conntrack)
        if takes_localhost(command.settings, Family.IPV4):
            problems = (*problems, *filter(None, [sysctl.route_localnet()]))
        return 1 if problems else 0
    return None


async def clean_up(settings: ProxySettings) -> int:
    """``--cleanup``: remove what every mode writes; 1 if something is still there. Raises ConfigError if we may not."""
    require_net_admin()
    status = 0
    for mode in MODES:
        for family in Family:
            try:
                await make_applier(mode, family, settings).cleanup()
            except ConfigError as error:
                LOG.info("mode %s, %s: nothing to remove: %s", mode, family.value, error.problem)
            except KernelError as error:
                LOG.error("mode %s, %s: %s", mode, family.value, error)
                status = 1
    if not status:
        LOG.info("no rules of ours are left, in any mode")
    return status


class ClusterSnapshot:
    """What a source says of Services and this node, once."""

    def __init__(self) -> None:
        self.synced = False
        self.views: dict[ObjectKey, ServiceView] = {}
        self.node: Node | None = None
        self.service_cidrs: list[Network] = []

    def apply(self, change: Change, now: int) -> None:
        """Take in one change."""
        match change:
            case ServiceChange(key, _, after):
                if after is None:
                    self.views.pop(key, None)
                else:
                    self.views[key] = after
            case NodeChange(_, _, after):
                self.node = after
            case ServiceCIDRChange(_, _, after) if after is not None:
                self.service_cidrs += after.cidrs


async def read_rules(command: ProxyCommand, node_name: str = "") -> tuple[list[RuleSet], ClusterSnapshot]:
    """The rule sets of both families for a node, as the source is now, and what it says. Raises ConfigError.

    ``node_name``: the node they are for; empty: this machine's.
    """
    name = node_name or command.settings.node_name(socket.gethostname())
    kubeconfig = command.settings.client_connection.kubeconfig
    source = await build_source(command.source or (f"kubeconfig:{kubeconfig}" if kubeconfig else "cluster"))
    known = ClusterSnapshot()
    try:
        with first_mistake():
            await read_once(source, proxy_wants(name), known)
    finally:
        await source.close()
    here = known.node is None or name == command.settings.node_name(socket.gethostname())
    interfaces = own_interfaces() if here else known.node.addresses if known.node else ()
    sets = [
        decide(known, node_policy(command.settings, family, known.node, name, interfaces, known.service_cidrs))
        for family in Family
    ]
    return sets, known


def decide(known: ClusterSnapshot, policy: Policy) -> RuleSet:
    """The rules of every Service that is known. What is left out is logged."""
    claims, found = FrontendConflicts(), list[ServicePortRules]()
    for key, view in known.views.items():
        decided = service_rules(view, policy)
        for one in decided.left_out:
            LOG.warning("%s: %s", key, one.message)
        found += decided.ports
    for rules in found:
        claims.update(rules.name, rules)
    return rule_set((claims.granted(rules)[0] for rules in found), policy.node)


async def print_rules(command: ProxyCommand, *, node_name: str, service: str, out: TextIO | None = None) -> int:
    """``kdns rules``: what would be written. Raises ConfigError for a source or a Service that is not there."""
    out = out or sys.stdout
    sets, known = await read_rules(command, node_name)
    if service:
        namespace, _, name = service.rpartition("/")
        wanted = (namespace or "default", name)
        sets = [
            RuleSet(rules.node, {key: one for key, one in rules.ports.items() if (key.namespace, key.name) == wanted})
            for rules in sets
        ]
        if not any(rules.ports for rules in sets):
            raise _without_rules(*wanted, known.views)
    for rules in sets:
        if rules.ports or rules.node.family is Family.IPV4:
            out.write(f"# {rules.node.family.value}: {service_ports(len(rules.ports))}\n")
            text = script(command.settings.mode, rules, command.settings.ipvs.scheduler, own_interfaces())
            out.write(text.rstrip("\n") + "\n")
    return 0


def _without_rules(namespace: str, name: str, views: Mapping[ObjectKey, ServiceView]) -> ConfigError:
    """Why a Service has no rules, for whoever asked for them."""
    called = f"{namespace}/{name}"
    services = {f"{key.namespace}/{key.name}": view.service for key, view in views.items() if view.service is not None}
    service = services.get(called)
    if service is None:
        elsewhere = [other for other in services if other.endswith(f"/{name}")]
        hint = f"did you mean {elsewhere[0]}?" if elsewhere else near(called, services)
        problem = f"no Service {called}, or it is headless and has no rules"  # those are not asked for
        return ConfigError(problem, hint=hint or "say namespace/name, as in shop/web")
    if service.external_name is not None:
        return ConfigError(f"Service {called} is an ExternalName: no rules", hint="kdns records shows its name")
    return ConfigError(f"Service {called} has no rules", hint="it has no address, or none that it may have")
