"""Names of chains, as kube-proxy makes them: a prefix for what the chain is for, and a hash of whose it is.

They must be kube-proxy's to the letter, so that either of the two takes over a node from the other without a gap.
"""

from base64 import b32encode
from hashlib import sha256
from typing import Final

from kdns.proxy.model import Backend, ServicePortName

CLUSTER: Final = "KUBE-SVC-"
"""Chooses among the cluster set."""
LOCAL: Final = "KUBE-SVL-"
"""Chooses among the local set."""
EXTERNAL: Final = "KUBE-EXT-"
"""What becomes of traffic from outside."""
FIREWALL: Final = "KUBE-FW-"
"""Who may use a load balancer's address."""
ENDPOINT: Final = "KUBE-SEP-"
"""Goes to one endpoint."""
FAMILIES: Final = (FIREWALL, EXTERNAL, CLUSTER, LOCAL, ENDPOINT)
"""Every prefix of chains of service ports, such that chains lead only to chains of later prefixes."""

SERVICES: Final = "KUBE-SERVICES"
NODE_PORTS: Final = "KUBE-NODEPORTS"
EXTERNAL_SERVICES: Final = "KUBE-EXTERNAL-SERVICES"
PROXY_FIREWALL: Final = "KUBE-PROXY-FIREWALL"
FORWARD: Final = "KUBE-FORWARD"
POSTROUTING: Final = "KUBE-POSTROUTING"
MARK_MASQUERADE: Final = "KUBE-MARK-MASQ"
INVALID_DROPPED: Final = "ct_state_invalid_dropped_pkts"
"""kube-proxy's counter of packets that are dropped since connection tracking calls them INVALID."""
LOCALHOST_ACCEPTED: Final = "localhost_nps_accepted_pkts"
"""Its counter of packets to node ports on a loopback address."""
COUNTERS: Final = (INVALID_DROPPED, LOCALHOST_ACCEPTED)
CANARY: Final = "KUBE-PROXY-CANARY"
SHARED_FIREWALL: Final = "KUBE-FIREWALL"
"""The kubelet's too: rules are added to it, but it is never flushed or deleted."""


def service_hash(name: ServicePortName) -> str:
    """The 16 characters that all chains of a service port but its endpoints' end with."""
    return _hash(f"{name}{name.protocol.lower()}")


def endpoint_chain(name: ServicePortName, backend: Backend) -> str:
    """The chain that goes to one endpoint of a service port."""
    return ENDPOINT + _hash(f"{name}{name.protocol.lower()}{backend}")


def _hash(text: str) -> str:
    # 10 octets are the 16 characters of base32 that are kept.
    return b32encode(sha256(text.encode()).digest()[:10]).decode()
