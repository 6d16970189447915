"""What ``kdns proxy`` and ``kdns node`` do without following a cluster: write the configuration, clean up, sysctls."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from kdns.base.errors import ConfigError, KernelError
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.config.kubeproxy.writing import as_yaml
from kdns.kernel.capability import require_net_admin
from kdns.proxy.apply.modes import MODES
from kdns.proxy.machine import Machine
from kdns.proxy.model import Family
from kdns.proxy.node_policy import takes_localhost

LOG: Final = logging.getLogger("kdns.proxy")


async def run_one_shot(
    command: ProxyCommand, machine: Machine | None = None, beside: Callable[[], Awaitable[int]] | None = None
) -> int | None:
    """What is done without following a cluster; None if it is not such a command. ``machine``: None is this one.

    ``beside``: removes what is not the proxy's with ``--cleanup``; its exit status.
    """
    machine = machine or Machine(command.settings)
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
        status = await clean_up(machine)
        return status if beside is None else max(status, await beside())
    if command.init_only:
        await machine.load_conntrack()
        problems = await asyncio.to_thread(machine.apply_conntrack)
        if takes_localhost(command.settings, Family.IPV4):
            problems = (*problems, *filter(None, [machine.route_localnet()]))
        return 1 if problems else 0
    return None


async def clean_up(machine: Machine) -> int:
    """``--cleanup``: remove what every mode writes; 1 if something is still there. Raises ConfigError if we may not."""
    require_net_admin()
    status = 0
    for mode in MODES:
        for family in Family:
            try:
                await machine.applier(mode, family).cleanup()
            except ConfigError as error:
                LOG.info("mode %s, %s: nothing to remove: %s", mode, family.value, error.problem)
            except KernelError as error:
                LOG.error("mode %s, %s: %s", mode, family.value, error)
                status = 1
    if not status:
        LOG.info("no rules of ours are left, in any mode")
    return status
