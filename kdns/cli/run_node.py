"""What ``kdns node`` does. It imports DNS, half of all there is, which ``kdns proxy`` does without."""

import asyncio
from collections.abc import Callable

from kdns.base.errors import ConfigError, first_mistake
from kdns.cli.local_dns_rules import clean_up_local_dns
from kdns.cli.one_shot import run_one_shot
from kdns.cli.run_local_dns import build, check_mode, serve_once_known
from kdns.cli.status import dns_site, explained, status_port
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.config.settings import ServeSettings
from kdns.dns.server.app import App
from kdns.kernel import sysctl
from kdns.kernel.capability import require_net_admin
from kdns.nodelocal.app import LocalDns
from kdns.nodelocal.parts import LocalDnsOptions
from kdns.ops.port import Answer
from kdns.ops.process import prepare
from kdns.ops.shutdown import Stop
from kdns.proxy.app import ProxyApp


def set_up_process(oom_score_adj: int) -> Stop:
    """Prepare this process for serving; what its signals ask for."""
    prepare()
    sysctl.set_oom_score(oom_score_adj)
    stop = Stop()
    stop.install()
    return stop


async def node(
    serving: ServeSettings,
    command: ProxyCommand,
    local_options: LocalDnsOptions | None = None,
    *,
    set_up: Callable[[int], Stop] = set_up_process,
) -> int:
    """``kdns node``: DNS and proxy in one process, each with a watch of its own; they end together.

    ``local_options``: DNS is on the cluster's DNS address, too. ``set_up``: from an OOM score to what ends us.
    """
    if (status := await run_one_shot(command, beside=clean_up_local_dns)) is not None:
        return status
    if local_options is not None:
        check_mode(command.settings.mode, dry_run=command.dry_run)
    stop = set_up(command.settings.oom_score_adj)

    def site(app: App) -> Answer:
        return dns_site("kdns node", explained(serving), proxy=proxying)(app)

    async def caught_up() -> None:
        await proxying.caught_up()

    if local_options is None:
        app, local = App(serving, site), None
    else:
        require_net_admin()
        app, local = await build(serving, local_options, stop, caught_up, site)
    proxying = ProxyApp(command, beside=[local] if local is not None else [])
    await _check_places(app)
    require_net_admin()
    pages = await status_port(command.status, site(app)) if command.status else None
    try:
        await _run(app, proxying, local, stop)
    finally:
        if pages is not None:
            await pages.close()
    return stop.status


async def _run(app: App, proxying: ProxyApp, local: LocalDns | None, stop: Stop) -> None:
    """All of them, until one ends."""
    with first_mistake():
        async with asyncio.TaskGroup() as tasks:
            serve = app.run(stop) if local is None else serve_once_known(app, local, stop)
            dns = tasks.create_task(serve, name="dns")
            tasks.create_task(proxying.run(stop), name="proxy")
            if local is not None:
                tasks.create_task(local.run(stop), name="local DNS")
            dns.add_done_callback(lambda _: stop.asked.set())


async def _check_places(app: App) -> None:
    """A node's port 53 may be taken on some address, so every server block says where it is."""
    loaded = await app.load()
    for plan in loaded.plans:
        if "" in plan.addresses or {"0.0.0.0", "::"} & set(plan.addresses):
            raise ConfigError(
                f"kdns node: the server block {plan.keys[0]} would take every address of the node",
                hint="give it an address of its own, such as: bind {$HOST_IP}",
            )
