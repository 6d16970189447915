"""What a lab needs of the machine: root, and a few programs; what is missing is named with its Debian package."""

import os
import shutil
import sys
from collections.abc import Iterable
from typing import Final

from kdns.base.errors import ConfigError

KDNS: Final = (sys.executable, "-m", "kdns")
"""Our own program."""
READY: Final = "ready"
"""What a keeper writes when its lab is; anything else is the reason why it is not."""
PROGRAMS: Final = {
    "nftables": ("nft",),
    "iptables": ("iptables-nft", "ip6tables-nft"),
    "iptables-legacy": ("iptables-legacy", "ip6tables-legacy"),
    "ipvs": ("iptables", "ip6tables"),
    "none": (),
}
"""What a lab needs beside `ip` and `openssl`, by the mode of its proxies."""
WALKERS: Final = ("busybox", "getent")
"""What the walk-through asks with."""
PACKAGES: Final = {
    "ip": "iproute2",
    "nft": "nftables",
    "iptables": "iptables",
    "ip6tables": "iptables",
    "iptables-legacy": "iptables",
    "ip6tables-legacy": "iptables",
    "iptables-nft": "iptables",
    "ip6tables-nft": "iptables",
    "ipset": "ipset",
    "conntrack": "conntrack",
    "busybox": "busybox-static",
    "getent": "libc-bin",
    "openssl": "openssl",
    "modprobe": "kmod",
}
"""The Debian package of each program that the lab runs."""


def require(programs: Iterable[str] = ("ip",)) -> None:
    """ConfigError if we are not root, or for the programs that are missing, with the packages that bring them."""
    if os.geteuid():
        raise ConfigError("a lab is made of network namespaces, which need root", hint="run it with sudo")
    if missing := [name for name in programs if shutil.which(name) is None]:
        packages = sorted({PACKAGES.get(name, name) for name in missing})
        raise ConfigError(
            f"missing on this machine: {', '.join(missing)}", hint=f"apt-get install {' '.join(packages)}"
        )
