"""May this process write rules? Checks CAP_NET_ADMIN at startup, for an error of one line."""

import re
from pathlib import Path
from typing import Final

from kdns.base.errors import ConfigError

STATUS: Final = Path("/proc/self/status")
NET_ADMIN: Final = 12
"""The capability's bit, as in linux/capability.h."""


def require_net_admin(status: Path = STATUS) -> None:
    """Raise ConfigError unless this process has the capability NET_ADMIN, if the kernel shows which it has."""
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", status.read_text(), re.MULTILINE)
    if match and not int(match[1], 16) >> NET_ADMIN & 1:
        raise ConfigError(
            "rules of the kernel take the capability NET_ADMIN, which this process has not",
            hint="run it as root, or in a Pod with NET_ADMIN; kdns rules and kdns proxy --dry-run do without",
        )
