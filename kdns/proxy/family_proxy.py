"""All parts of one address family's proxy."""

import asyncio
from typing import NamedTuple

from kdns.proxy.apply.applier import Applier
from kdns.proxy.healthcheck.service_checks import ServiceChecks
from kdns.proxy.model import Family
from kdns.proxy.proxier import Proxier
from kdns.proxy.report import Reports


class FamilyProxy(NamedTuple):
    """Built, and run by the app."""

    family: Family
    applier: Applier
    proxier: Proxier
    reports: Reports
    checks: ServiceChecks
    checked: asyncio.Event
    """Health checks of Services are others now."""

    async def sync_checks(self) -> None:
        """Wait until health checks of Services are others, and answer them as they are now."""
        await self.checked.wait()
        self.checked.clear()
        try:
            await self.checks.sync(self.reports.checks)
        except Exception:
            self.checked.set()  # it is still to be done
            raise
