"""What the cluster says of this node, of other nodes and of cluster IPs, for the policy of each family. Pure."""

from collections.abc import Iterable

from kdns.base.objects import Node, NodeChange, ObjectKey, ServiceCIDR, ServiceCIDRChange
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.proxy.model import Family
from kdns.proxy.node_policy import node_policy
from kdns.proxy.rules import Policy


class NodeView:
    """Of one node. Other nodes are known in mode ipvs only, since the other modes do not follow them."""

    def __init__(self, settings: ProxySettings, name: str) -> None:
        self._settings, self.name = settings, name
        self.node: Node | None = None
        """Our Node as it was last seen; None: it was never there."""
        self._others: dict[ObjectKey, tuple[bytes, ...]] = {}
        self._service_cidrs: dict[ObjectKey, ServiceCIDR] = {}

    def apply(self, change: NodeChange | ServiceCIDRChange) -> bool:
        """Take in a change; True if the policy may be another now. Our Node that is gone stays as it was."""
        match change:
            case NodeChange(key, _, after) if key.name == self.name:
                self.node = after or self.node
                return after is not None
            case NodeChange(key, _, after):
                before = self._others.pop(key, ())
                addresses = after.addresses if after is not None else ()
                if addresses:
                    self._others[key] = addresses
                return addresses != before
            case ServiceCIDRChange(key, _, cidr):
                self._service_cidrs.pop(key, None)
                if cidr is not None:
                    self._service_cidrs[key] = cidr
                return True

    def policy(self, family: Family, interfaces: Iterable[bytes], *, liberal: bool = False) -> Policy:
        """See `node_policy`."""
        return node_policy(
            self._settings,
            family,
            self.node,
            self.name,
            interfaces,
            [network for cidr in self._service_cidrs.values() for network in cidr.cidrs],
            liberal=liberal,
            other_nodes=[address for addresses in self._others.values() for address in addresses],
        )
