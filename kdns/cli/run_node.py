"""What ``kdns node`` does. It imports DNS, half of all there is, which ``kdns proxy`` does without."""

import asyncio

from kdns.base.errors import ConfigError, first_mistake
from kdns.cli.one_shot import run_one_shot
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.config.settings import ServeSettings
from kdns.dns.server.app import App
from kdns.kernel import sysctl
from kdns.kernel.capability import require_net_admin
from kdns.ops.process import prepare
from kdns.ops.shutdown import Stop
from kdns.proxy.app import ProxyApp


async def node(serving: ServeSettings, command: ProxyCommand) -> int:
    """``kdns node``: DNS and proxy in one process, each with a watch of its own; they end together."""
    if (status := await run_one_shot(command)) is not None:
        return status
    prepare()
    sysctl.set_oom_score(command.settings.oom_score_adj)
    stop = Stop()
    stop.install()
    app, proxying = App(serving), ProxyApp(command)
    await _check_places(app)
    require_net_admin()
    with first_mistake():
        async with asyncio.TaskGroup() as tasks:
            dns = tasks.create_task(app.run(stop), name="dns")
            tasks.create_task(proxying.run(stop), name="proxy")
            dns.add_done_callback(lambda _: stop.asked.set())
    return stop.status


async def _check_places(app: App) -> None:
    """A node's port 53 may be taken on some address, so every server block says where it is."""
    loaded = await app.load()
    for plan in loaded.plans:
        if "" in plan.addresses or {"0.0.0.0", "::"} & set(plan.addresses):
            raise ConfigError(
                f"kdns node: the server block {plan.keys[0]} would take every address of the node",
                hint="give it an address of its own, such as: bind {$HOST_IP}",
            )
