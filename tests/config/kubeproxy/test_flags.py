"""kube-proxy's flags become settings, alone or beside a file."""

import argparse
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple, NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kdns.base.errors import ConfigError
from kdns.config.kubeproxy.fields import described
from kdns.config.kubeproxy.flags import (
    CADVISOR,
    FLAGS,
    HIDDEN,
    KLOG,
    WINDOWS,
    ProxyCommand,
    add_flags,
    normalized,
    proxy_command,
    version_form,
)
from kdns.config.kubeproxy.settings import ClientConnection, ConntrackSettings, ProxySettings
from kdns.config.load import read_kubeproxy
from tests.config.kubeproxy import files
from tests.config.kubeproxy.files import network


class Parser(argparse.ArgumentParser):
    """argparse that raises instead of leaving."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


FILES = {"kubeadm": files.KUBEADM, "kind": files.KIND}


def command(*argv: str, environ: dict[str, str] | None = None) -> ProxyCommand:
    """What a command line asks for."""
    part = Parser(allow_abbrev=False)
    add_flags(part)
    return proxy_command(vars(part.parse_args(normalized(argv))), environ or {}, FILES.__getitem__)


def told(*argv: str) -> str:
    """What is wrong with a command line."""
    with pytest.raises(ConfigError) as error:
        command(*argv)
    return str(error.value)


def test_k3s() -> None:
    """The flags of k3s."""
    found = command(*files.K3S)
    assert found.warnings == ()
    assert found.settings == ProxySettings(
        cluster_cidrs=(network("10.42.0.0/16"),),
        conntrack=ConntrackSettings(max_per_core=0, tcp_established_timeout=0.0, tcp_close_wait_timeout=0.0),
        healthz_bind_address="127.0.0.1:10256",
        hostname_override="Node-1",
        client_connection=ClientConnection(kubeconfig="/var/lib/rancher/k3s/agent/kubeproxy.kubeconfig"),
    )
    assert found.settings.node_name("other") == "node-1"


def test_kubeadm() -> None:
    """A file, and the name of the Node beside it."""
    found = command("--config=kubeadm", "--hostname-override=a", "-v=4")
    assert (found.config, found.config_text) == ("kubeadm", files.KUBEADM)
    assert found.warnings == ()
    assert (found.settings.hostname_override, found.settings.logging.verbosity) == ("a", 4)
    assert found.settings.cluster_cidrs == (network("10.244.0.0/16"),)


def test_a_file_wins() -> None:
    """Beside a file only flags about the process, the log and the Node count; the others are named."""
    found = command("--config=kind", "--proxy-mode=ipvs", "--cluster-cidr", "10.0.0.0/8", "--master=https://a")
    assert found.settings.mode == "nftables"
    assert found.master == "https://a"
    assert found.warnings == ("--config is given, so these flags are ignored: --proxy-mode, --cluster-cidr",)


def test_what_is_ignored_need_not_be_right() -> None:
    """A wrong value in a flag that does not count is no mistake."""
    assert command("--config=kind", "--proxy-mode=no").settings.mode == "nftables"


class Case(NamedTuple):
    line: str
    path: str
    value: Any


CASES = (
    Case("--proxy-mode=nftables", "mode", "nftables"),
    Case("-proxy-mode nftables", "mode", "nftables"),
    Case("--proxy_mode=nftables", "mode", "nftables"),
    Case("--proxy-mode=", "mode", "iptables"),
    Case("--proxy-mode ipvs --proxy-mode iptables", "mode", "iptables"),
    Case("--cluster-cidr=10.0.0.0/8,fd00::/8", "clusterCIDR", "10.0.0.0/8,fd00::/8"),
    Case("--detect-local-mode=NodeCIDR", "detectLocalMode", "NodeCIDR"),
    Case("--detect-local-mode=BridgeInterface --pod-bridge-interface=br0", "detectLocal.bridgeInterface", "br0"),
    Case("--pod-interface-name-prefix=veth", "detectLocal.interfaceNamePrefix", "veth"),
    Case("--bind-address=::", "healthzBindAddress", "[::]:10256"),
    Case("--bind-address=:: --healthz-bind-address=1.2.3.4", "healthzBindAddress", "1.2.3.4:10256"),
    Case("--healthz-bind-address=", "healthzBindAddress", ""),
    Case("--metrics-bind-address=[::1]:1", "metricsBindAddress", "[::1]:1"),
    Case("--nodeport-addresses=10.0.0.0/8,fd00::/8", "nodePortAddresses", ["10.0.0.0/8", "fd00::/8"]),
    Case("--nodeport-addresses=10.0.0.0/8 --nodeport-addresses fd00::/8", "nodePortAddresses",
         ["10.0.0.0/8", "fd00::/8"]),
    Case("--nodeport-addresses=primary", "nodePortAddresses", ["primary"]),
    Case("--masquerade-all", "iptables.masqueradeAll", True),
    Case("--masquerade-all", "nftables.masqueradeAll", True),
    Case("--masquerade-all=false", "iptables.masqueradeAll", False),
    Case("-masquerade-all=T", "iptables.masqueradeAll", True),
    Case("--iptables-masquerade-bit=0", "iptables.masqueradeBit", 0),
    Case("--iptables-localhost-nodeports=false", "iptables.localhostNodePorts", False),
    Case("--iptables-sync-period=1h", "iptables.syncPeriod", "1h0m0s"),
    Case("--iptables-min-sync-period=0", "iptables.minSyncPeriod", "0s"),
    Case("--ipvs-scheduler=lc", "ipvs.scheduler", "lc"),
    Case("--ipvs-exclude-cidrs=10.0.0.0/8", "ipvs.excludeCIDRs", ["10.0.0.0/8"]),
    Case("--ipvs-strict-arp", "ipvs.strictARP", True),
    Case("--ipvs-tcpfin-timeout=3s", "ipvs.tcpFinTimeout", "3s"),
    Case("--conntrack-max-per-core 0", "conntrack.maxPerCore", 0),
    Case("--conntrack-tcp-be-liberal", "conntrack.tcpBeLiberal", True),
    Case("--conntrack-udp-timeout-stream=5s", "conntrack.udpStreamTimeout", "5s"),
    Case("--oom-score-adj=-5", "oomScoreAdj", -5),
    Case("--oom-score-adj -5", "oomScoreAdj", -5),
    Case("--kube-api-qps=2.5", "clientConnection.qps", 2.5),
    Case("--feature-gates=A=true,B=false --feature-gates C=true", "featureGates", {"A": True, "B": False, "C": True}),
    Case("-v4", "logging.verbosity", 4),
    Case("-v 4 --vmodule=x=3 -logtostderr --stderrthreshold INFO --alsologtostderr=false", "logging.verbosity", 4),
    Case("--logging-format=json", "logging.format", "json"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.line} {case.path}")
def test_values(case: Case) -> None:
    """A flag sets what its word in the file would."""
    value: Any = described(command(*case.line.split(" ")).settings)
    for word in case.path.split("."):
        value = value[word]
    assert value == case.value


def test_what_to_do() -> None:
    """Flags about the process."""
    found = command("--cleanup", "--init-only=false", "--write-config-to", "f", "-dry-run", "--source=-")
    assert found[2:8] == ("f", True, False, "", "-", True)


def test_external_ips_can_be_switched_off() -> None:
    """By a flag or a variable; the flag wins."""
    off = {"KDNS_EXTERNAL_IPS": "false"}
    assert command().settings.external_ips
    assert not command("--external-ips=false").settings.external_ips
    assert not command("--config=kind", "--external-ips=false").settings.external_ips
    assert not command("--config=kind", environ=off).settings.external_ips
    assert command("--external-ips", environ=off).settings.external_ips


MISTAKES = (
    ("--proxy-mode=userspace", "--proxy-mode: 'userspace' is none of iptables, nftables, ipvs"),
    ("--iptables-masquerade-bit=32", "--iptables-masquerade-bit: 32 is out of range\n  0 to 31"),
    ("--iptables-masquerade-bit=x", "--iptables-masquerade-bit: invalid whole number 'x'\n  0 to 31"),
    ("--iptables-sync-period=30", "--iptables-sync-period: invalid duration '30'\n  it needs a unit, such as s"),
    ("--iptables-sync-period=0", "--iptables-sync-period: 0s is out of range\n  longer than 0s"),
    ("--iptables-sync-period=1s --iptables-min-sync-period=2s",
     "--iptables-min-sync-period: 2s is longer than syncPeriod (1s)\n  at most as long"),
    ("--masquerade-all=maybe", "--masquerade-all: 'maybe' is neither true nor false\n  true or false"),
    ("--nodeport-addresses=10.0.0.0/8,x",
     "--nodeport-addresses: 'x' is not a CIDR\n"
     "  such as 10.244.0.0/16 or fd00:10:244::/56, or primary, localhost or all"),
    ("--feature-gates=A", "--feature-gates: '' is neither true nor false\n  true or false"),
    ("--detect-local-mode=BridgeInterface",
     "--pod-bridge-interface: detectLocalMode BridgeInterface needs it\n  such as cbr0"),
    ("--cleanup=x", "--cleanup: 'x' is neither true nor false\n  true or false"),
    ("--external-ips=x", "--external-ips: 'x' is neither true nor false\n  true or false"),
    ("--config", "argument --config: expected one argument"),
    ("--what", "unrecognized arguments: --what"),
    ("--oom-score-adj=5000 --proxy-mode=x",
     "--proxy-mode: 'x' is none of iptables, nftables, ipvs\n"
     "--oom-score-adj: 5000 is out of range\n  -1000 to 1000"),
)  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), MISTAKES)
def test_mistakes(line: str, expected: str) -> None:
    """The flag, the value, and what is allowed."""
    assert sorted(told(*line.split(" ")).split("\n")) == sorted(expected.split("\n"))


def test_a_mistake_of_the_variable() -> None:
    """The variable is named."""
    with pytest.raises(ConfigError, match=r"^KDNS_EXTERNAL_IPS: 'x' is neither true nor false"):
        command(environ={"KDNS_EXTERNAL_IPS": "x"})


KUBE_PROXYS = """
    config write-config-to cleanup init-only kubeconfig master hostname-override proxy-mode cluster-cidr
    detect-local-mode pod-bridge-interface pod-interface-name-prefix bind-address healthz-bind-address
    metrics-bind-address nodeport-addresses masquerade-all iptables-masquerade-bit iptables-localhost-nodeports
    iptables-sync-period iptables-min-sync-period ipvs-scheduler ipvs-exclude-cidrs ipvs-strict-arp ipvs-sync-period
    ipvs-min-sync-period ipvs-tcp-timeout ipvs-tcpfin-timeout ipvs-udp-timeout conntrack-max-per-core conntrack-min
    conntrack-tcp-timeout-established conntrack-tcp-timeout-close-wait conntrack-tcp-be-liberal conntrack-udp-timeout
    conntrack-udp-timeout-stream config-sync-period oom-score-adj feature-gates v
"""


def test_all_flags_are_there() -> None:
    """Each flag of kube-proxy is one of ours."""
    assert set(KUBE_PROXYS.split()) <= set(FLAGS)


def test_each_setting_is_somewhere() -> None:
    """A flag that sets something names a word of the file."""
    known = described(ProxySettings())
    for name, flag in FLAGS.items():
        value: Any = known
        for word in flag.path.split(".") if flag.path else ():
            assert word in value, name
            value = value[word]


WORDS = st.sampled_from([
    *(f"--{name}" for name in (*FLAGS, *HIDDEN)), "-v", "-v4", "--", "=", "true", "10.0.0.0/8", "1s", "", "-", "a=b",
    "kind",
]) | st.text(max_size=6)  # fmt: skip


@given(st.lists(st.tuples(WORDS, WORDS).map("=".join) | WORDS, max_size=6))
@example(["--config=kind", "--"])
def test_any_words(argv: list[str]) -> None:
    """Any words are a command or ConfigError."""
    if "-h" in argv or "--help" in argv:
        return
    part = Parser(allow_abbrev=False, add_help=False)
    add_flags(part)

    def read(name: str) -> str:
        if name not in FILES:
            raise ConfigError("no such file")
        return FILES[name]

    try:
        found = proxy_command(vars(part.parse_args(normalized(argv))), {}, read)
    except ConfigError:
        return
    assert found.settings.sync_period > 0


def test_flags_without_an_effect() -> None:
    """Those of Kubernetes' logger and of cadvisor, which stand in kube-proxy's own list of its flags."""
    words = [f"--{name}=1" for name in (*KLOG, *CADVISOR)]
    assert command(
        *words, "--machine-id-file", "/etc/machine-id", "--boot-id-file=/proc/sys/kernel/random/boot_id"
    ) == (command())


@pytest.mark.parametrize("name", WINDOWS)
def test_flags_of_windows(name: str) -> None:
    """They have a meaning there, so they are refused, with the reason."""
    assert told(f"--{name}=true") == f"--{name} is for nodes with Windows\n  kdns runs on Linux only; leave it out"


@pytest.mark.parametrize(
    ("word", "form"),
    [
        ("", ""),
        ("--version", "text"),
        ("-version", "text"),
        ("--version=true", "text"),
        ("--version=false", ""),
        ("--version=raw", "raw"),
        ("--version=v1.35.4", ""),
    ],
)
def test_the_version_is_asked_for(word: str, form: str) -> None:
    """As of every program of Kubernetes; a version to report changes nothing."""
    part = Parser(allow_abbrev=False)
    add_flags(part)
    assert version_form(vars(part.parse_args(normalized([word] if word else [])))) == form


def test_another_version_is_a_mistake() -> None:
    """Told as a boolean is."""
    with pytest.raises(ConfigError, match="--version: 'maybe' is neither true nor false"):
        version_form({"version": "maybe"})


def test_a_file_is_read(tmp_path: Path) -> None:
    """From disk; what cannot be read is one line."""
    (tmp_path / "c").write_text(files.KIND)
    assert read_kubeproxy(str(tmp_path / "c")) == files.KIND
    with pytest.raises(ConfigError) as error:
        read_kubeproxy(str(tmp_path / "none"))
    assert str(error.value) == dedent(f"""\
        cannot read {tmp_path}/none: No such file or directory
          --config is the path of a KubeProxyConfiguration""")
