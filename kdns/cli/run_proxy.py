"""What ``kdns proxy`` does."""

import logging
from typing import Final

from kdns.cli.local_dns_rules import clean_up_local_dns
from kdns.cli.one_shot import run_one_shot
from kdns.cli.status import proxy_site, status_port
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.kernel import sysctl
from kdns.kernel.capability import require_net_admin
from kdns.ops.process import prepare
from kdns.ops.shutdown import Stop
from kdns.proxy.app import ProxyApp

LOG: Final = logging.getLogger("kdns.proxy")


async def proxy(command: ProxyCommand) -> int:
    """``kdns proxy``: the exit status. Raises ConfigError for what the operator must fix."""
    if (status := await run_one_shot(command, beside=clean_up_local_dns)) is not None:
        return status
    prepare()
    if not command.dry_run:
        require_net_admin()
        sysctl.set_oom_score(command.settings.oom_score_adj)
    stop = Stop()
    stop.install()
    app = ProxyApp(command)
    if not command.status or command.dry_run:
        await app.run(stop)
        return stop.status
    pages = await status_port(command.status, proxy_site("kdns proxy", app))
    try:
        await app.run(stop)
    finally:
        await pages.close()
    return stop.status
