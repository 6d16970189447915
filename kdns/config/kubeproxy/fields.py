"""The words of KubeProxyConfiguration v1alpha1, in tables: which setting each is, and what it may be. Pure."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from msgspec import Struct

from kdns.config.kubeproxy.kinds import (
    ADDRESS,
    BOOLEAN,
    CIDRS,
    CLUSTER_CIDRS,
    GATES,
    INTERFACE,
    NODE_PORT_ADDRESSES,
    RATE,
    TEXT,
    Kind,
    ManyKind,
    MapKind,
    choice,
    duration,
    http_address,
    integer,
)
from kdns.config.kubeproxy.settings import HEALTHZ_PORT, METRICS_PORT, ProxySettings

API_VERSION: Final = "kubeproxy.config.k8s.io/v1alpha1"
KIND: Final = "KubeProxyConfiguration"
MODES: Final = ("iptables", "nftables", "ipvs")
SCHEDULERS: Final = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh")
"""Of the kernel's ip_vs modules."""
DETECT_LOCAL_MODES: Final = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")


class Field(NamedTuple):
    """One word."""

    word: str
    attribute: str
    kind: "Kind | ManyKind | MapKind | Section"
    zero_is_default: bool = False
    """``""``, 0 or 0s in the file means the default, and not itself."""

    @property
    def can_be_off(self) -> bool:
        """Empty text in a flag switches it off, instead of meaning the default."""
        return self.word in {"healthzBindAddress", "metricsBindAddress"}


class Section(NamedTuple):
    """A mapping of its own."""

    fields: tuple[Field, ...]
    quiet: tuple[str, ...] = ()
    """Words that are known and without a meaning here: whatever they hold is taken."""


SYNC: Final = (
    Field("syncPeriod", "sync_period", duration(positive=True), True),
    Field("minSyncPeriod", "min_sync_period", duration(), True),
)
MASQUERADE: Final = (
    Field("masqueradeBit", "masquerade_bit", integer(0, 31)),
    Field("masqueradeAll", "masquerade_all", BOOLEAN),
)

TOP: Final = Section(
    (
        Field("bindAddress", "bind_address", ADDRESS, True),
        Field("bindAddressHardFail", "bind_address_hard_fail", BOOLEAN),
        Field("clientConnection", "client_connection", Section((
            Field("acceptContentTypes", "accept_content_types", TEXT),
            Field("burst", "burst", integer(0), True),
            Field("contentType", "content_type", TEXT, True),
            Field("kubeconfig", "kubeconfig", TEXT),
            Field("qps", "qps", RATE, True),
        ))),
        Field("clusterCIDR", "cluster_cidrs", CLUSTER_CIDRS),
        Field("configSyncPeriod", "config_sync_period", duration(positive=True), True),
        Field("conntrack", "conntrack", Section((
            Field("maxPerCore", "max_per_core", integer(0)),
            Field("min", "min", integer(0)),
            Field("tcpBeLiberal", "tcp_be_liberal", BOOLEAN),
            Field("tcpCloseWaitTimeout", "tcp_close_wait_timeout", duration()),
            Field("tcpEstablishedTimeout", "tcp_established_timeout", duration()),
            Field("udpStreamTimeout", "udp_stream_timeout", duration()),
            Field("udpTimeout", "udp_timeout", duration()),
        ))),
        Field("detectLocal", "detect_local", Section((
            Field("bridgeInterface", "bridge_interface", INTERFACE),
            Field("interfaceNamePrefix", "interface_name_prefix", INTERFACE),
        ))),
        Field("detectLocalMode", "detect_local_mode", choice(DETECT_LOCAL_MODES), True),
        Field("enableProfiling", "enable_profiling", BOOLEAN),
        Field("featureGates", "feature_gates", GATES),
        Field("healthzBindAddress", "healthz_bind_address", http_address(HEALTHZ_PORT), True),
        Field("hostnameOverride", "hostname_override", TEXT),
        Field("iptables", "iptables", Section((
            Field("localhostNodePorts", "localhost_node_ports", BOOLEAN), *MASQUERADE, *SYNC,
        ))),
        Field("ipvs", "ipvs", Section((
            Field("excludeCIDRs", "exclude_cidrs", CIDRS),
            Field("scheduler", "scheduler", choice(SCHEDULERS), True),
            Field("strictARP", "strict_arp", BOOLEAN),
            Field("tcpFinTimeout", "tcp_fin_timeout", duration()),
            Field("tcpTimeout", "tcp_timeout", duration()),
            Field("udpTimeout", "udp_timeout", duration()),
            *SYNC,
        ))),
        Field("logging", "logging", Section((
            Field("flushFrequency", "flush_frequency", duration(nanoseconds=True), True),
            Field("format", "format", choice(("text", "json")), True),
            Field("verbosity", "verbosity", integer(0)),
        ), ("options", "vmodule"))),
        Field("metricsBindAddress", "metrics_bind_address", http_address(METRICS_PORT), True),
        Field("mode", "mode", choice(MODES), True),
        Field("nftables", "nftables", Section((*MASQUERADE, *SYNC))),
        Field("nodePortAddresses", "node_port_addresses", NODE_PORT_ADDRESSES),
        Field("oomScoreAdj", "oom_score_adj", integer(-1000, 1000)),
        Field("portRange", "port_range", TEXT),
        Field("showHiddenMetricsForVersion", "show_hidden_metrics_for_version", TEXT),
    ),
    ("apiVersion", "kind", "winkernel", "windowsRunAsService"),
)  # fmt: skip
"""``apiVersion`` and ``kind`` are looked at before."""


def find(path: tuple[str, ...]) -> Kind | ManyKind | MapKind:
    """What a value may be, by its words from the top. Raises KeyError if there is none."""
    section = TOP
    for word in path:
        kind = next((field.kind for field in section.fields if field.word == word), None)
        if isinstance(kind, Section):
            section = kind
        elif kind is not None:
            return kind
    raise KeyError(path)


def described(settings: ProxySettings) -> dict[str, Any]:
    """Settings as kube-proxy's file has them, every word of it."""
    return {"apiVersion": API_VERSION, "kind": KIND, **_described(TOP, settings)}


def _described(section: Section, values: Struct) -> dict[str, Any]:
    return dict(_lines(section, values))


def _lines(section: Section, values: Struct) -> Iterator[tuple[str, Any]]:
    for field in section.fields:
        value = getattr(values, field.attribute)
        match field.kind:
            case Section() as inner:
                yield field.word, _described(inner, value)
            case MapKind():
                yield field.word, dict(value)
            case kind:
                yield field.word, kind.write(value)
