"""What ``kdns rules`` does: reads a source once, decides, and prints what the proxy would write."""

import logging
import socket
import sys
from collections.abc import Mapping
from typing import Final, TextIO

from kdns.base.errors import ConfigError, first_mistake
from kdns.base.objects import (
    Change,
    NodeChange,
    ObjectKey,
    ServiceChange,
    ServiceCIDRChange,
    ServiceView,
)
from kdns.cli.output import write
from kdns.config.arguments import near
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.explain.run_diff import diff_of_this_node
from kdns.proxy.apply.modes import script, service_ports
from kdns.proxy.decisions import decided
from kdns.proxy.machine import own_interfaces
from kdns.proxy.model import Family, RuleSet
from kdns.proxy.node_view import NodeView
from kdns.proxy.present import rule_set_values
from kdns.proxy.report import log_left_out
from kdns.proxy.rules import Policy
from kdns.watch.follower import proxy_wants, read_once
from kdns.watch.open_source import build_source

LOG: Final = logging.getLogger("kdns.proxy")


class ClusterSnapshot:
    """What a source says of Services and this node, once."""

    def __init__(self, settings: ProxySettings, node_name: str) -> None:
        self.synced = False
        self.view = NodeView(settings, node_name)
        self.views: dict[ObjectKey, ServiceView] = {}

    def apply(self, change: Change, now: int) -> None:
        """Take in one change."""
        match change:
            case ServiceChange(key, _, after):
                if after is None:
                    self.views.pop(key, None)
                else:
                    self.views[key] = after
            case NodeChange() | ServiceCIDRChange():
                self.view.apply(change)


async def read_rules(command: ProxyCommand, node_name: str = "") -> tuple[list[RuleSet], ClusterSnapshot]:
    """The rule sets of both families for a node, as the source is now, and what it says. Raises ConfigError.

    ``node_name``: the node they are for; empty: this machine's.
    """
    name = node_name or command.settings.node_name(socket.gethostname())
    kubeconfig = command.settings.client_connection.kubeconfig
    source = await build_source(command.source or (f"kubeconfig:{kubeconfig}" if kubeconfig else "cluster"))
    known = ClusterSnapshot(command.settings, name)
    try:
        with first_mistake():
            await read_once(source, proxy_wants(name, every_node=command.settings.mode == "ipvs"), known)
    finally:
        await source.close()
    node = known.view.node
    here = node is None or name == command.settings.node_name(socket.gethostname())
    interfaces = own_interfaces() if here else node.addresses if node else ()
    sets = [decide(known, known.view.policy(family, interfaces)) for family in Family]
    return sets, known


def decide(known: ClusterSnapshot, policy: Policy) -> RuleSet:
    """The rules of every Service that is known. What is left out is logged."""
    decisions = decided(known.views, policy)
    for service, left_out in decisions.take_news():
        log_left_out(service, left_out)
    return decisions.rule_set()


async def print_rules(
    command: ProxyCommand, *, node_name: str, service: str, form: str = "text", out: TextIO | None = None
) -> int:
    """Print the rules as ``form`` says: text, json or yaml. Raises ConfigError for what is missing."""
    out = out or sys.stdout
    sets, known = await read_rules(command, node_name)
    sets = _of_service(sets, known, service)
    if form != "text":
        write([rule_set_values(rules) for rules in sets], form, out)
        return 0
    for rules in sets:
        if rules.ports or rules.node.family is Family.IPV4:
            out.write(f"# {rules.node.family.value}: {service_ports(len(rules.ports))}\n")
            text = script(command.settings.mode, rules, command.settings.ipvs.scheduler, own_interfaces())
            out.write(text.rstrip("\n") + "\n")
    return 0


async def print_diff(command: ProxyCommand, *, node_name: str, service: str, out: TextIO | None = None) -> int:
    """What this machine's kernel has beside the rules; 1 if something differs. Raises ConfigError."""
    sets, known = await read_rules(command, node_name)
    sets = _of_service(sets, known, service)
    name = node_name or command.settings.node_name(socket.gethostname())
    return await diff_of_this_node(
        name, sets, command.settings.mode, own_interfaces(), whole=not service, out=out or sys.stdout
    )


def _of_service(sets: list[RuleSet], known: ClusterSnapshot, service: str) -> list[RuleSet]:
    """Those of one Service, if one is named. Raises ConfigError for one without rules."""
    if not service:
        return sets
    namespace, _, name = service.rpartition("/")
    wanted = (namespace or "default", name)
    sets = [
        RuleSet(
            rules.node,
            {key: port_rules for key, port_rules in rules.ports.items() if (key.namespace, key.name) == wanted},
        )
        for rules in sets
    ]
    if not any(rules.ports for rules in sets):
        raise _without_rules(*wanted, known.views)
    return sets


def _without_rules(namespace: str, name: str, views: Mapping[ObjectKey, ServiceView]) -> ConfigError:
    """Why a Service has no rules."""
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
