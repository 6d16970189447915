"""KubeProxyConfiguration v1alpha1 becomes settings."""

from textwrap import dedent
from typing import Any, NamedTuple

import pytest
import yaml
from msgspec.structs import replace

from kdns.config.kubeproxy.fields import API_VERSION, KIND, described
from kdns.config.kubeproxy.parsing import parse_kubeproxy
from kdns.config.kubeproxy.settings import ClientConnection, ConntrackSettings, NodePortAddresses, ProxySettings
from kdns.config.kubeproxy.writing import configz
from tests.config.kubeproxy import files
from tests.config.kubeproxy.files import network

HEAD = f"apiVersion: {API_VERSION}\nkind: {KIND}\n"


def read(text: str) -> ProxySettings:
    """The settings of a text that gives no warning."""
    found, warnings = parse_kubeproxy(HEAD + dedent(text), "c")
    assert warnings == ()
    return found


def test_kubeadm() -> None:
    """Empty, null and zero values are kube-proxy's defaults."""
    found, warnings = parse_kubeproxy(files.KUBEADM, "config.conf")
    assert warnings == ()
    assert found == ProxySettings(
        cluster_cidrs=(network("10.244.0.0/16"),),
        client_connection=ClientConnection(kubeconfig="/var/lib/kube-proxy/kubeconfig.conf"),
    )


def test_kind() -> None:
    """Both families, nftables with node ports on the primary addresses only, and no sysctl."""
    found, warnings = parse_kubeproxy(files.KIND, "config.conf")
    assert warnings == ()
    assert found == ProxySettings(
        mode="nftables",
        cluster_cidrs=(network("10.244.0.0/16"), network("fd00:10:244::/56")),
        conntrack=ConntrackSettings(max_per_core=0, tcp_established_timeout=0.0, tcp_close_wait_timeout=0.0),
        metrics_bind_address="0.0.0.0:10249",
        node_port_addresses=NodePortAddresses(primary=True),
    )


DEFAULTS = """
mode iptables
bindAddress 0.0.0.0
healthzBindAddress 0.0.0.0:10256
metricsBindAddress 127.0.0.1:10249
bindAddressHardFail false
enableProfiling false
clientConnection.kubeconfig ""
clientConnection.contentType application/vnd.kubernetes.protobuf
clientConnection.qps 5.0
clientConnection.burst 10
clusterCIDR ""
detectLocalMode ClusterCIDR
detectLocal.bridgeInterface ""
detectLocal.interfaceNamePrefix ""
nodePortAddresses null
hostnameOverride ""
configSyncPeriod 15m0s
oomScoreAdj -999
portRange ""
featureGates {}
iptables.masqueradeBit 14
iptables.masqueradeAll false
iptables.localhostNodePorts true
iptables.syncPeriod 30s
iptables.minSyncPeriod 1s
nftables.masqueradeBit 14
nftables.masqueradeAll false
nftables.syncPeriod 30s
nftables.minSyncPeriod 10ms
ipvs.scheduler rr
ipvs.excludeCIDRs null
ipvs.strictARP false
ipvs.tcpTimeout 0s
ipvs.tcpFinTimeout 0s
ipvs.udpTimeout 0s
ipvs.syncPeriod 30s
conntrack.maxPerCore 32768
conntrack.min 131072
conntrack.tcpEstablishedTimeout 24h0m0s
conntrack.tcpCloseWaitTimeout 1h0m0s
conntrack.tcpBeLiberal false
conntrack.udpTimeout 0s
conntrack.udpStreamTimeout 0s
logging.format text
logging.flushFrequency 5s
logging.verbosity 0
showHiddenMetricsForVersion ""
"""


@pytest.mark.parametrize("line", DEFAULTS.strip().splitlines())
def test_defaults(line: str) -> None:
    """A file that says nothing has kube-proxy's defaults, as /configz tells them; nftables.minSyncPeriod is ours."""
    path, _, value = line.partition(" ")
    found: Any = configz(read(""))["kubeproxy.config.k8s.io"]
    for word in path.split("."):
        found = found[word]
    assert found == yaml.safe_load(value)


class Reads(NamedTuple):
    title: str
    text: str
    path: str
    value: Any


READS = (
    Reads("durations as Go writes them", "iptables: {syncPeriod: 1m30.5s}", "iptables.syncPeriod", "1m30.5s"),
    Reads("a bare number of nanoseconds", "logging: {flushFrequency: 2500000000}", "logging.flushFrequency", "2.5s"),
    Reads("no minimum", "iptables: {syncPeriod: 30s, minSyncPeriod: 0s}", "iptables.minSyncPeriod", "1s"),
    Reads("no minimum of nftables", "nftables: {minSyncPeriod: 0s}", "nftables.minSyncPeriod", "10ms"),
    Reads("a minimum of nftables", "nftables: {minSyncPeriod: 1s}", "nftables.minSyncPeriod", "1s"),
    Reads("bit 0 is a bit", "iptables: {masqueradeBit: 0}", "iptables.masqueradeBit", 0),
    Reads("a number with a point", "iptables: {masqueradeBit: 14.0}", "iptables.masqueradeBit", 14),
    Reads("a port is appended", "healthzBindAddress: 127.0.0.1", "healthzBindAddress", "127.0.0.1:10256"),
    Reads("to IPv6, too", 'metricsBindAddress: "::1"', "metricsBindAddress", "[::1]:10249"),
    Reads("brackets", 'metricsBindAddress: "[0:0::1]:9"', "metricsBindAddress", "[::1]:9"),
    Reads("an IPv6 node has IPv6 ports", 'bindAddress: "::"', "healthzBindAddress", "[::]:10256"),
    Reads("and metrics for itself", 'bindAddress: "fd00::1"', "metricsBindAddress", "[::1]:10249"),
    Reads("host bits of a CIDR", "nodePortAddresses: [192.168.1.7/24]", "nodePortAddresses", ["192.168.1.0/24"]),
    Reads("primary", "nodePortAddresses: [primary]", "nodePortAddresses", ["primary"]),
    Reads("every word and ranges, each once", "nodePortAddresses: [10.0.0.0/8, all, localhost, primary, 010.0.0.0/8]",
          "nodePortAddresses", ["primary", "localhost", "all", "10.0.0.0/8"]),
    Reads("all in mode nftables", "mode: nftables\nnodePortAddresses: [all]", "nodePortAddresses", ["all"]),
    Reads("a cluster CIDR with leading zeros", "clusterCIDR: 010.244.0.0/16", "clusterCIDR", "10.244.0.0/16"),
    Reads("an IPv4-mapped cluster CIDR", "clusterCIDR: '::ffff:10.244.0.0/112'", "clusterCIDR", "10.244.0.0/16"),
    Reads("an address with leading zeros", "bindAddress: 010.0.0.007", "bindAddress", "10.0.0.7"),
    Reads("an ADDRESS:PORT with leading zeros", "healthzBindAddress: 127.000.0.1:10256", "healthzBindAddress",
          "127.0.0.1:10256"),
    Reads("nftables has its own default", "mode: nftables", "nodePortAddresses", ["primary"]),
    Reads("that is only a default", "mode: nftables\nnodePortAddresses: [0.0.0.0/0]", "nodePortAddresses",
          ["0.0.0.0/0"]),
    Reads("YAML's own booleans", "iptables: {masqueradeAll: yes}", "iptables.masqueradeAll", True),
    Reads("gates of any name", "featureGates: {SomethingNew: true}", "featureGates", {"SomethingNew": True}),
    Reads("a merged mapping", "nftables: &a {masqueradeBit: 3}\niptables: {<<: *a}", "iptables.masqueradeBit", 3),
    Reads("JSON", '{"apiVersion": "x"}', "mode", "iptables"),
    Reads("Windows does not matter", "winkernel: {anything: [1]}\nwindowsRunAsService: true", "mode", "iptables"),
    Reads("an interface", "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cbr0}",
          "detectLocal.bridgeInterface", "cbr0"),
)  # fmt: skip


@pytest.mark.parametrize("case", READS, ids=lambda case: case.title)
def test_values(case: Reads) -> None:
    """A value is taken as kube-proxy takes it."""
    if case.title == "JSON":
        found, _ = parse_kubeproxy(f'{{"kind": "{KIND}", "apiVersion": "{API_VERSION}", "mode": ""}}', "c")
    else:
        found = read(case.text)
    value: Any = described(found)
    for word in case.path.split("."):
        value = value[word]
    assert value == case.value


def test_the_mode_decides_which_values_count() -> None:
    """Sync periods and masquerading are those of the running mode; ipvs masquerades as iptables does."""
    text = """
        mode: nftables
        iptables: {syncPeriod: 10s, masqueradeBit: 5}
        nftables: {syncPeriod: 20s, masqueradeBit: 6, masqueradeAll: true}
        ipvs: {syncPeriod: 40s, minSyncPeriod: 2s}
    """
    found = read(text)
    assert (found.sync_period, found.masquerade_bit, found.masquerade_all) == (20.0, 6, True)
    ipvs = replace(found, mode="ipvs")
    assert (ipvs.sync_period, ipvs.min_sync_period, ipvs.masquerade_bit, ipvs.masquerade_all) == (40.0, 2.0, 5, False)
    assert replace(found, mode="iptables").sync_period == 10.0


def test_node_names() -> None:
    """The override wins over the machine's hostname; both are in lower case."""
    assert ProxySettings().node_name("Host-1\n") == "host-1"
    assert ProxySettings(hostname_override=" Node ").node_name("host") == "node"


def test_networks_of_a_family() -> None:
    """Only networks of a family count for it, and none of it, or one of length zero, is every address."""
    some = NodePortAddresses(networks=(network("192.168.0.0/16"), network("::/0")))
    assert some.of_family(4) == (network("192.168.0.0/16"),)
    assert (some.everywhere(4), some.everywhere(16)) == (False, True)
    assert NodePortAddresses(networks=(network("fd00::/8"),)).everywhere(4)
    assert not NodePortAddresses(primary=True, networks=(network("fd00::/8"),)).everywhere(4)
    assert NodePortAddresses(primary=True, all=True).everywhere(4)
    assert NodePortAddresses().everywhere(4)
