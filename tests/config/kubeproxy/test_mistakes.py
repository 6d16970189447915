"""What an operator is told of a wrong KubeProxyConfiguration: every mistake, with its place."""

from textwrap import dedent
from typing import NamedTuple

import pytest

from kdns.base.errors import ConfigError
from kdns.config.kubeproxy.fields import API_VERSION, KIND
from kdns.config.kubeproxy.parsing import parse_kubeproxy
from tests.effort import processor_time

HEAD = f"apiVersion: {API_VERSION}\nkind: {KIND}\n"


def told(text: str) -> str:
    """What is wrong with a text."""
    with pytest.raises(ConfigError) as error:
        parse_kubeproxy(text, "c")
    return str(error.value)


class Case(NamedTuple):
    title: str
    text: str
    told: str


MISTAKES = (
    Case("a bit that packets do not have", "iptables:\n  masqueradeBit: 32\n", """
        c:4:18: iptables.masqueradeBit: 32 is out of range
           4 |   masqueradeBit: 32
                                ^ 0 to 31
    """),
    Case("a number in quotes", "nftables: {masqueradeBit: '14'}\nmode: nftables", """
        c:3:27: nftables.masqueradeBit: invalid whole number '14'
           3 | nftables: {masqueradeBit: '14'}
                                         ^ 0 to 31, without quotes
    """),
    Case("a boolean in quotes", "iptables: {masqueradeAll: 'true'}", """
        c:3:27: iptables.masqueradeAll: 'true' is neither true nor false
           3 | iptables: {masqueradeAll: 'true'}
                                         ^ without quotes: true or false
    """),
    Case("another mode", "mode: userspace", """
        c:3:7: mode: 'userspace' is none of iptables, nftables, ipvs
           3 | mode: userspace
                     ^
    """),
    Case("a mode misspelt", "mode: nftable", """
        c:3:7: mode: 'nftable' is none of iptables, nftables, ipvs
           3 | mode: nftable
                     ^ did you mean nftables?
    """),
    Case("a duration without a unit", "iptables: {syncPeriod: 30}", """
        c:3:24: iptables.syncPeriod: invalid duration 30
           3 | iptables: {syncPeriod: 30}
                                      ^ text with a unit, such as 30s
    """),
    Case("a duration that is none", "configSyncPeriod: soon", """
        c:3:19: configSyncPeriod: invalid duration 'soon'
           3 | configSyncPeriod: soon
                                 ^ such as 300ms, 5s or 1m30s
    """),
    Case("a period that goes back", "ipvs: {syncPeriod: -1s}\nmode: ipvs", """
        c:3:20: ipvs.syncPeriod: '-1s' is out of range
           3 | ipvs: {syncPeriod: -1s}
                                  ^ longer than 0s
    """),
    Case("a negative timeout", "conntrack: {udpTimeout: -1s}", """
        c:3:25: conntrack.udpTimeout: '-1s' is out of range
           3 | conntrack: {udpTimeout: -1s}
                                       ^ at least 0s
    """),
    Case("a negative number", "conntrack: {maxPerCore: -1}", """
        c:3:25: conntrack.maxPerCore: -1 is out of range
           3 | conntrack: {maxPerCore: -1}
                                       ^ at least 0
    """),
    Case("a minimum above the period", "nftables:\n  syncPeriod: 2s\n  minSyncPeriod: 5s\nmode: nftables", """
        c:5:18: nftables.minSyncPeriod: 5s is longer than syncPeriod (2s)
           5 |   minSyncPeriod: 5s
                                ^ at most as long
    """),
    Case("the default minimum above the period", "iptables:\n  syncPeriod: 500ms", """
        c:4:15: iptables.minSyncPeriod: 1s is longer than syncPeriod (500ms)
           4 |   syncPeriod: 500ms
                             ^ at most as long
    """),
    Case("two cluster CIDRs of a family", "clusterCIDR: 10.1.0.0/16,10.2.0.0/16", """
        c:3:14: clusterCIDR: '10.1.0.0/16,10.2.0.0/16' has two CIDRs of one family
           3 | clusterCIDR: 10.1.0.0/16,10.2.0.0/16
                            ^ at most one of each: 10.244.0.0/16,fd00:10:244::/56
    """),
    Case("an address is no CIDR", "clusterCIDR: 10.1.0.0", """
        c:3:14: clusterCIDR: '10.1.0.0' is not a CIDR
           3 | clusterCIDR: 10.1.0.0
                            ^ such as 10.244.0.0/16 or fd00:10:244::/56
    """),
    Case("a prefix that is too long", "ipvs: {excludeCIDRs: [10.0.0.0/8, 10.0.0.0/33]}\nmode: ipvs", """
        c:3:35: ipvs.excludeCIDRs[1]: '10.0.0.0/33' is not a CIDR
           3 | ipvs: {excludeCIDRs: [10.0.0.0/8, 10.0.0.0/33]}
                                                 ^ such as 10.244.0.0/16 or fd00:10:244::/56
    """),
    Case("no list", "nodePortAddresses: primary", """
        c:3:20: nodePortAddresses: 'primary' is not a list
           3 | nodePortAddresses: primary
                                  ^
    """),
    Case("another word", "nodePortAddresses: [secondary]", """
        c:3:21: nodePortAddresses[0]: 'secondary' is not a CIDR
           3 | nodePortAddresses: [secondary]
                                   ^ such as 10.244.0.0/16 or fd00:10:244::/56, or primary, localhost or all
    """),
    Case("a bridge without a name", "detectLocalMode: BridgeInterface", """
        c:3:18: detectLocal.bridgeInterface: detectLocalMode BridgeInterface needs it
           3 | detectLocalMode: BridgeInterface
                                ^ such as cbr0
    """),
    Case("a prefix that is missing", "detectLocalMode: InterfaceNamePrefix", """
        c:3:18: detectLocal.interfaceNamePrefix: detectLocalMode InterfaceNamePrefix needs it
           3 | detectLocalMode: InterfaceNamePrefix
                                ^ such as cbr0
    """),
    Case("no interface has such a name", "detectLocal: {bridgeInterface: 'a; drop'}", """
        c:3:32: detectLocal.bridgeInterface: 'a; drop' is not an interface name
           3 | detectLocal: {bridgeInterface: 'a; drop'}
                                              ^ at most 15 letters, digits and . _ - : @
    """),
    Case("a name is no address", "healthzBindAddress: localhost:10256", """
        c:3:21: healthzBindAddress: 'localhost:10256' is not ADDRESS:PORT
           3 | healthzBindAddress: localhost:10256
                                   ^ such as 0.0.0.0:10256, or [::]:10256 for IPv6
    """),
    Case("a port too high", "metricsBindAddress: 127.0.0.1:70000", """
        c:3:21: metricsBindAddress: '127.0.0.1:70000' is not ADDRESS:PORT
           3 | metricsBindAddress: 127.0.0.1:70000
                                   ^ such as 0.0.0.0:10249, or [::]:10249 for IPv6
    """),
    Case("no address", "bindAddress: 1.2.3", """
        c:3:14: bindAddress: '1.2.3' is not an IP address
           3 | bindAddress: 1.2.3
                            ^ such as 0.0.0.0 or ::
    """),
    Case("a scheduler that the kernel does not have", "ipvs: {scheduler: rrr}\nmode: ipvs", """
        c:3:19: ipvs.scheduler: 'rrr' is none of rr, wrr, lc, wlc, lblc, lblcr, sh, dh, sed, nq, mh
           3 | ipvs: {scheduler: rrr}
                                 ^ did you mean rr?
    """),
    Case("iptables in any mode", "mode: nftables\niptables: {minSyncPeriod: 90s}", """
        c:4:27: iptables.minSyncPeriod: 1m30s is longer than syncPeriod (30s)
           4 | iptables: {minSyncPeriod: 90s}
                                         ^ at most as long
    """),
    Case("a score out of range", "oomScoreAdj: 1001", """
        c:3:14: oomScoreAdj: 1001 is out of range
           3 | oomScoreAdj: 1001
                            ^ -1000 to 1000
    """),
    Case("a gate is a boolean", "featureGates:\n  A: 1", """
        c:4:6: featureGates.A: 1 is neither true nor false
           4 |   A: 1
                    ^ true or false
    """),
    Case("text where a mapping belongs", "iptables: on-the-node", """
        c:3:11: iptables: 'on-the-node' is not a mapping
           3 | iptables: on-the-node
                         ^
    """),
    Case("a number where text belongs", "hostnameOverride: 7", """
        c:3:19: hostnameOverride: 7 is not text
           3 | hostnameOverride: 7
                                 ^ put it in quotes
    """),
    Case("a rate that is none", "clientConnection: {qps: fast}", """
        c:3:25: clientConnection.qps: 'fast' is not a number
           3 | clientConnection: {qps: fast}
                                       ^ such as 5 or 2.5
    """),
    Case("all of them at once, and nothing that only follows from them",
         "mode: ebpf\niptables: {syncPeriod: x, minSyncPeriod: 1h}\noomScoreAdj: a\n", """
        c:3:7: mode: 'ebpf' is none of iptables, nftables, ipvs
           3 | mode: ebpf
                     ^
        c:4:24: iptables.syncPeriod: invalid duration 'x'
           4 | iptables: {syncPeriod: x, minSyncPeriod: 1h}
                                      ^ such as 300ms, 5s or 1m30s
        c:5:14: oomScoreAdj: invalid whole number 'a'
           5 | oomScoreAdj: a
                            ^ -1000 to 1000
    """),
    Case("no YAML", "iptables: [", """
        c:4:1: expected YAML: did not find expected node content
          while parsing a flow node that begins on line 4
    """),
)  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case.title)
def test_mistakes(case: Case) -> None:
    """The path, the value, what is allowed, and the place."""
    assert told(HEAD + case.text) == dedent(case.told).strip()


WHOLE = (
    Case("nothing at all", "", """
        c: expected a KubeProxyConfiguration, got nothing
          apiVersion: kubeproxy.config.k8s.io/v1alpha1
    """),
    Case("no mapping", "- a", """
        c:1:1: expected a KubeProxyConfiguration, got a list
           1 | - a
               ^ apiVersion: kubeproxy.config.k8s.io/v1alpha1
    """),
    Case("another object", "apiVersion: v1\nkind: ConfigMap\n", """
        c:1:13: apiVersion: 'v1' is not kubeproxy.config.k8s.io/v1alpha1
           1 | apiVersion: v1
                           ^
        c:2:7: kind: 'ConfigMap' is not KubeProxyConfiguration
           2 | kind: ConfigMap
                     ^
    """),
    Case("a version to come", f"apiVersion: kubeproxy.config.k8s.io/v1beta1\nkind: {KIND}\n", """
        c:1:13: apiVersion: 'kubeproxy.config.k8s.io/v1beta1' is not kubeproxy.config.k8s.io/v1alpha1
           1 | apiVersion: kubeproxy.config.k8s.io/v1beta1
                           ^ did you mean kubeproxy.config.k8s.io/v1alpha1?
    """),
    Case("neither is said", "mode: ipvs\n", """
        c:1:1: apiVersion is missing
           1 | mode: ipvs
               ^ apiVersion: kubeproxy.config.k8s.io/v1alpha1
        c:1:1: kind is missing
           1 | mode: ipvs
               ^ kind: KubeProxyConfiguration
    """),
)  # fmt: skip


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.title)
def test_another_kind_of_file(case: Case) -> None:
    """What is no KubeProxyConfiguration is refused as a whole."""
    assert told(case.text) == dedent(case.told).strip()


WARNINGS = (
    Case("an unknown field", "clusterCIDRs: 10.0.0.0/8", """
        c:3:1: unknown field 'clusterCIDRs' is ignored; did you mean clusterCIDR?
    """),
    Case("one within", "iptables:\n  masqeradeBit: 40", """
        c:4:3: unknown field 'iptables.masqeradeBit' is ignored; did you mean masqueradeBit?
    """),
    Case("one that nothing resembles", "udpIdleTimeout: 250ms", "c:3:1: unknown field 'udpIdleTimeout' is ignored"),
    Case("another case", "Mode: ipvs", "c:3:1: unknown field 'Mode' is ignored; did you mean mode?"),
    Case("twice", "iptables:\n  masqueradeBit: 40\n  masqueradeBit: 14", """
        c:5:3: 'iptables.masqueradeBit' stands twice, first in line 4; this one counts
    """),
    Case("ipvs goes", "mode: ipvs", """
        c:3:7: mode ipvs is deprecated in Kubernetes since 1.35 and will be removed; use nftables
    """),
    # what counts for another mode only does not keep the proxy from starting (kube-proxy checks ipvs in mode ipvs only)
    Case("a minimum above the period of ipvs", "mode: iptables\nipvs: {minSyncPeriod: 90s}", """
        c:4:23: ipvs.minSyncPeriod: 1m30s is longer than syncPeriod (30s); ignored, as the mode is iptables
    """),
    Case("an unknown scheduler", "ipvs: {scheduler: fo}\nmode: nftables", "c:3:19: ipvs.scheduler: 'fo' is none of "
         "rr, wrr, lc, wlc, lblc, lblcr, sh, dh, sed, nq, mh; ignored, as the mode is nftables"),
    Case("nonsense in excludeCIDRs", "ipvs: {excludeCIDRs: [10.0.0.0/8, x]}", """
        c:3:35: ipvs.excludeCIDRs[1]: 'x' is not a CIDR; ignored, as the mode is iptables
    """),
    Case("a negative timeout of ipvs", "ipvs: {tcpTimeout: -1s}", """
        c:3:20: ipvs.tcpTimeout: '-1s' is out of range; ignored, as the mode is iptables
    """),
    Case("nftables in mode iptables", "nftables: {syncPeriod: 1s, minSyncPeriod: 2s}", """
        c:3:43: nftables.minSyncPeriod: 2s is longer than syncPeriod (1s); ignored, as the mode is iptables
    """),
    Case("localhost outside mode iptables", "mode: nftables\nnodePortAddresses: [primary, localhost]", """
        c:4:20: mode nftables serves no node ports on loopback: 'localhost' has no effect
    """),
    Case("a second document", "mode: ''\n---\nmode: 7\n", "c:4:1: only the first document is read"),
)  # fmt: skip


@pytest.mark.parametrize("case", WARNINGS, ids=lambda case: case.title)
def test_warnings(case: Case) -> None:
    """What kube-proxy's lenient reading lets pass is told, with its place."""
    _, warnings = parse_kubeproxy(HEAD + case.text, "c")
    assert "\n".join(warnings) == dedent(case.told).strip()


def test_aliases_are_bounded() -> None:
    """Ten levels of ten aliases are refused, in little time."""
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "expected aliases to repeat at most 100,000 values" in told("\n".join(levels))
    assert "at most 200 levels" in told("[" * 300)
    assert "larger than 256 KiB" in told("#" * 2_000_000)


LARGE = {
    "one long line": "nodePortAddresses: [" + "x," * 125_000 + "]",
    "many lines": "ipvs:\n  excludeCIDRs:\n" + "  - x\n" * 40_000,
    "many merges": "iptables: {<<: [" + ",".join(f"{{a{n}: 1}}" for n in range(18_000)) + "]}",
    "many unknown words": "\n".join(f"w{n}: 1" for n in range(25_000)),
    "many repeated words": "mode: ''\n" * 28_000,
    "a long text": "clusterCIDR: " + "1" * 250_000,
    "a long number": "oomScoreAdj: " + "9" * 250_000,
    "a long duration": "configSyncPeriod: " + "9" * 250_000 + "s",
    "a long key": "k" * 250_000 + ": 1",
}


@pytest.mark.parametrize("title", LARGE)
def test_large_texts(title: str) -> None:
    """The largest text, whatever it is, is read or refused in seconds, and what is told of it is short."""
    try:
        with processor_time(20.0):  # ten times as long as it takes
            _, warnings = parse_kubeproxy(HEAD + LARGE[title], "c")
        said = "\n".join(warnings)
    except ConfigError as error:
        said = str(error)
    assert len(said) < 40_000
