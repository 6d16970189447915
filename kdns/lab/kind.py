"""Which lab is meant: the mode of its proxies, how kdns is laid out in it, and whose objects it has."""

from typing import NamedTuple

from kdns.lab.flags import LAYOUTS, MODES


class Kind(NamedTuple):
    """What the flags of ``kdns lab up`` and ``run`` say."""

    mode: str = MODES[0]
    layout: str = LAYOUTS[0]
    folder: str = ""
    """Manifests; empty: those of kdns."""

    @property
    def flags(self) -> tuple[str, ...]:
        """The same as flags."""
        return "--mode", self.mode, "--layout", self.layout, "--folder", self.folder

    @property
    def iptables(self) -> str:
        """The variant of iptables that the nodes' kubelets use, so that the proxies use it, too; empty: they do not."""
        return {"iptables": "nft", "iptables-legacy": "legacy"}.get(self.mode, "")

    @property
    def proxy_mode(self) -> str:
        """The proxies' --proxy-mode."""
        return "iptables" if self.iptables else self.mode

    def __str__(self) -> str:
        """For people."""
        if self.layout != LAYOUTS[0]:
            local = " at the cluster's DNS address" if self.layout == "node-local" else ""
            return f"kdns node runs on each node{local}, in {self.mode} mode"
        return f"its proxies are in {self.mode} mode"
