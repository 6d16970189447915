"""All settings of ``kdns proxy``, with kube-proxy's defaults. Durations are seconds.

Names are those of KubeProxyConfiguration v1alpha1 in our spelling. What is ``""`` or 0 there to mean "the default" is
replaced by the default here already, so that readers of a setting need not know it.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from kdns.base.objects import Network

Mode = Literal["iptables", "nftables", "ipvs"]
DetectLocalMode = Literal["ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"]

PRIMARY: Final = "primary"
"""The words that may stand among the CIDRs of nodePortAddresses are these three (KEP-6032)."""
LOCALHOST: Final = "localhost"
ALL: Final = "all"
HEALTHZ_PORT: Final = 10256
METRICS_PORT: Final = 10249


class NodePortAddresses(NamedTuple):
    """On which of the node's addresses node ports are: those that any of these gives; without any of them, all."""

    primary: bool = False
    """The node's primary address of each family."""
    networks: tuple[Network, ...] = ()
    """Addresses in these."""
    localhost: bool = False
    """The loopback addresses."""
    all: bool = False
    """Every address, whatever else is given."""

    def everywhere(self, width: int) -> bool:
        """Every address of the family with so many octets an address counts.

        Ranges of the other family alone leave a family open, as in kube-proxy; so does a range of length 0.
        """
        networks = self.of_family(width)
        if self.all or any(network.length == 0 for network in networks):
            return True
        return not (self.primary or self.localhost or networks)

    def of_family(self, width: int) -> tuple[Network, ...]:
        """The ranges of the family with so many octets an address."""
        return tuple(network for network in self.networks if len(network.address) == width)


class ClientConnection(Struct, frozen=True, kw_only=True):
    """How the API server is talked to."""

    kubeconfig: str = ""
    """A file; empty: what a Pod has."""
    accept_content_types: str = ""
    content_type: str = "application/vnd.kubernetes.protobuf"
    """Taken and written out again; kdns speaks JSON."""
    qps: float = 5.0
    burst: int = 10


class DetectLocal(Struct, frozen=True, kw_only=True):
    """What the detect-local modes of interfaces need."""

    bridge_interface: str = ""
    interface_name_prefix: str = ""


class IptablesSettings(Struct, frozen=True, kw_only=True):
    """Mode iptables; masqueradeBit and masqueradeAll are those of mode ipvs, too."""

    masquerade_bit: int = 14
    masquerade_all: bool = False
    localhost_node_ports: bool = True
    sync_period: float = 30.0
    min_sync_period: float = 1.0


class NftablesSettings(Struct, frozen=True, kw_only=True):
    """Mode nftables."""

    masquerade_bit: int = 14
    masquerade_all: bool = False
    sync_period: float = 30.0
    min_sync_period: float = 0.01
    """kube-proxy has 1 s, since each of its rounds runs nft; here a change costs what it changes."""


class IpvsSettings(Struct, frozen=True, kw_only=True):
    """Mode ipvs."""

    scheduler: str = "rr"
    exclude_cidrs: tuple[Network, ...] = ()
    strict_arp: bool = False
    tcp_timeout: float = 0.0
    """Of idle connections; 0 leaves what the kernel has. So for the next two."""
    tcp_fin_timeout: float = 0.0
    udp_timeout: float = 0.0
    sync_period: float = 30.0
    min_sync_period: float = 1.0


class ConntrackSettings(Struct, frozen=True, kw_only=True):
    """Sysctls of connection tracking; 0 leaves what is there."""

    max_per_core: int = 32768
    min: int = 131072
    tcp_established_timeout: float = 86400.0
    tcp_close_wait_timeout: float = 3600.0
    tcp_be_liberal: bool = False
    udp_timeout: float = 0.0
    udp_stream_timeout: float = 0.0


class LoggingSettings(Struct, frozen=True, kw_only=True):
    """The log's form."""

    format: Literal["text", "json"] = "text"
    flush_frequency: float = 5.0
    """Taken and written out again; kdns writes each line at once."""
    verbosity: int = 0


class ProxySettings(Struct, frozen=True, kw_only=True):
    """All of them."""

    mode: Mode = "iptables"
    bind_address: str = "0.0.0.0"
    """If not unspecified, the node's primary address, whatever its Node says."""
    healthz_bind_address: str = f"0.0.0.0:{HEALTHZ_PORT}"
    """ADDRESS:PORT; empty switches it off. So for the next one."""
    metrics_bind_address: str = f"127.0.0.1:{METRICS_PORT}"
    bind_address_hard_fail: bool = False
    """A port that is taken ends the process, instead of being tried again."""
    enable_profiling: bool = False
    show_hidden_metrics_for_version: str = ""
    feature_gates: Mapping[str, bool] = {}
    """Kubernetes' own; none of them changes anything here."""
    client_connection: ClientConnection = ClientConnection()
    hostname_override: str = ""
    cluster_cidrs: tuple[Network, ...] = ()
    """At most one of each family."""
    detect_local_mode: DetectLocalMode = "ClusterCIDR"
    detect_local: DetectLocal = DetectLocal()
    node_port_addresses: NodePortAddresses = NodePortAddresses()
    oom_score_adj: int = -999
    config_sync_period: float = 900.0
    port_range: str = ""
    """Without a meaning, as in kube-proxy."""
    iptables: IptablesSettings = IptablesSettings()
    nftables: NftablesSettings = NftablesSettings()
    ipvs: IpvsSettings = IpvsSettings()
    conntrack: ConntrackSettings = ConntrackSettings()
    logging: LoggingSettings = LoggingSettings()
    external_ips: bool = True
    """Serve externalIPs of Services; not in kube-proxy's file, see CVE-2020-8554."""

    @property
    def sync_period(self) -> float:
        """That of the mode."""
        return self._of_mode.sync_period

    @property
    def min_sync_period(self) -> float:
        """That of the mode."""
        return self._of_mode.min_sync_period

    @property
    def masquerade_bit(self) -> int:
        """That of the mode; ipvs has the one of iptables."""
        return self.nftables.masquerade_bit if self.mode == "nftables" else self.iptables.masquerade_bit

    @property
    def masquerade_all(self) -> bool:
        """That of the mode; ipvs has the one of iptables."""
        return self.nftables.masquerade_all if self.mode == "nftables" else self.iptables.masquerade_all

    @property
    def _of_mode(self) -> IptablesSettings | NftablesSettings | IpvsSettings:
        if self.mode == "iptables":
            return self.iptables
        return self.nftables if self.mode == "nftables" else self.ipvs

    def cluster_cidr(self, width: int) -> Network | None:
        """The cluster CIDR of a family, given the octets of its addresses."""
        return next((network for network in self.cluster_cidrs if len(network.address) == width), None)

    def node_name(self, hostname: str) -> str:
        """The name of our Node, given the machine's hostname."""
        return (self.hostname_override.strip() or hostname.strip()).lower()
