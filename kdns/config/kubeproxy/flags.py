"""kube-proxy's command line, and what ``kdns proxy`` has beside it. Pure.

::

    argv ──normalized──> argv as argparse reads it ──(add_flags)──> arguments ──proxy_command──> ProxyCommand

Flags as Go has them: one or two dashes, the value behind a blank or ``=``; a boolean has its value only behind ``=``.
"""

import argparse
import re
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from msgspec.structs import replace

from kdns.base.errors import ConfigError
from kdns.config.arguments import parse_local_address
from kdns.config.kubeproxy.fields import find
from kdns.config.kubeproxy.kinds import BOOLEAN, Kind, ManyKind, MapKind
from kdns.config.kubeproxy.parsing import parse_kubeproxy
from kdns.config.kubeproxy.reading import Path, Reading
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.config.yaml_tree import Entry, Node

EXTERNAL_IPS: Final = "KDNS_EXTERNAL_IPS"
"""The variable that has the meaning of ``--external-ips``; the flag wins."""


class Flag(NamedTuple):
    """One flag."""

    help: str
    path: str = ""
    """The word of the configuration that it sets; empty: it is about the process itself."""
    boolean: bool = False
    many: bool = False
    """May come again, for more."""
    with_config: bool = False
    """Counts beside --config, too."""


def _process(text: str, *, boolean: bool = False) -> Flag:
    return Flag(text, boolean=boolean, with_config=True)


FLAGS: Final[Mapping[str, Flag]] = {
    "config": _process("a KubeProxyConfiguration; with it only flags about the process, the log and the Node count"),
    "write-config-to": _process("write the effective configuration to this file, and exit"),
    "cleanup": _process("remove every rule of ours in every mode, and exit", boolean=True),
    "init-only": _process("do what needs privileges (sysctls), and exit", boolean=True),
    "master": _process("URL of the API server; wins over the kubeconfig"),
    "source": _process("cluster, kubeconfig[:PATH[@CONTEXT]], or a file or folder of manifests"),
    "dry-run": _process("print what would be written, and exit", boolean=True),
    "snapshot": _process("a folder to keep what is known of the cluster, for a start without the API server"),
    "status": _process("pages for a browser; :9180 is loopback only (default: off)"),
    "external-ips": _process("serve externalIPs of Services (default: true)", boolean=True),
    "hostname-override": Flag("the name of our Node", "hostnameOverride", with_config=True),
    "v": Flag("verbosity of the log (default: 0)", "logging.verbosity", with_config=True),
    "logging-format": Flag("text (default) or json", "logging.format", with_config=True),
    "log-flush-frequency": Flag("accepted, no effect: each line is written at once", "logging.flushFrequency",
                                with_config=True),
    "kubeconfig": Flag("a kubeconfig file", "clientConnection.kubeconfig"),
    "kube-api-qps": Flag("requests a second to the API server (default: 5)", "clientConnection.qps"),
    "kube-api-burst": Flag("requests at once to the API server (default: 10)", "clientConnection.burst"),
    "kube-api-content-type": Flag("accepted, no effect: JSON is spoken", "clientConnection.contentType"),
    "proxy-mode": Flag("iptables (default), nftables or ipvs", "mode"),
    "cluster-cidr": Flag("CIDRs of the cluster's Pods, at most one of each family", "clusterCIDR"),
    "detect-local-mode": Flag("how the traffic of Pods is recognised (default: ClusterCIDR)", "detectLocalMode"),
    "pod-bridge-interface": Flag("for BridgeInterface", "detectLocal.bridgeInterface"),
    "pod-interface-name-prefix": Flag("for InterfaceNamePrefix", "detectLocal.interfaceNamePrefix"),
    "bind-address": Flag("the node's primary address, if not unspecified (default: 0.0.0.0)", "bindAddress"),
    "bind-address-hard-fail": Flag("a port that is taken ends the process", "bindAddressHardFail", boolean=True),
    "healthz-bind-address": Flag("/healthz and /livez; '' for off (default: 0.0.0.0:10256)", "healthzBindAddress"),
    "metrics-bind-address": Flag("/metrics and others; '' for off (default: 127.0.0.1:10249)", "metricsBindAddress"),
    "nodeport-addresses": Flag("node addresses with node ports: CIDRs, primary, localhost, all", "nodePortAddresses",
                               many=True),
    "masquerade-all": Flag("masquerade all traffic to cluster IPs", "iptables.masqueradeAll", boolean=True),
    "iptables-masquerade-bit": Flag("bit of the packet mark, 0 to 31 (default: 14)", "iptables.masqueradeBit"),
    "iptables-localhost-nodeports": Flag("node ports on 127.0.0.1, too (default: true)", "iptables.localhostNodePorts",
                                         boolean=True),
    "iptables-sync-period": Flag("at least so often (default: 30s)", "iptables.syncPeriod"),
    "iptables-min-sync-period": Flag("at most so often (default: 1s)", "iptables.minSyncPeriod"),
    "ipvs-scheduler": Flag("rr (default), wrr, lc, wlc...", "ipvs.scheduler"),
    "ipvs-exclude-cidrs": Flag("virtual servers in these are left alone", "ipvs.excludeCIDRs", many=True),
    "ipvs-strict-arp": Flag("answer ARP only for addresses of the interface", "ipvs.strictARP", boolean=True),
    "ipvs-sync-period": Flag("at least so often (default: 30s)", "ipvs.syncPeriod"),
    "ipvs-min-sync-period": Flag("at most so often (default: 1s)", "ipvs.minSyncPeriod"),
    "ipvs-tcp-timeout": Flag("of idle connections (default: what the kernel has)", "ipvs.tcpTimeout"),
    "ipvs-tcpfin-timeout": Flag("after a FIN (default: what the kernel has)", "ipvs.tcpFinTimeout"),
    "ipvs-udp-timeout": Flag("of UDP flows (default: what the kernel has)", "ipvs.udpTimeout"),
    "conntrack-max-per-core": Flag("tracked flows for each CPU; 0 leaves what is there (default: 32768)",
                                   "conntrack.maxPerCore"),
    "conntrack-min": Flag("tracked flows at least (default: 131072)", "conntrack.min"),
    "conntrack-tcp-timeout-established": Flag("0 leaves what is there (default: 24h)",
                                              "conntrack.tcpEstablishedTimeout"),
    "conntrack-tcp-timeout-close-wait": Flag("0 leaves what is there (default: 1h)", "conntrack.tcpCloseWaitTimeout"),
    "conntrack-tcp-be-liberal": Flag("packets out of window are not invalid", "conntrack.tcpBeLiberal", boolean=True),
    "conntrack-udp-timeout": Flag("0 leaves what is there (default: 0)", "conntrack.udpTimeout"),
    "conntrack-udp-timeout-stream": Flag("0 leaves what is there (default: 0)", "conntrack.udpStreamTimeout"),
    "config-sync-period": Flag("accepted, no effect", "configSyncPeriod"),
    "oom-score-adj": Flag("of our process (default: -999)", "oomScoreAdj"),
    "feature-gates": Flag("accepted, no effect: NAME=true,...", "featureGates", many=True),
    "profiling": Flag("accepted, no effect", "enableProfiling", boolean=True),
    "show-hidden-metrics-for-version": Flag("accepted, no effect", "showHiddenMetricsForVersion"),
    "proxy-port-range": Flag("accepted, no effect", "portRange"),
}  # fmt: skip
"""By name, without dashes."""
METAVARS: Final[Mapping[str, str]] = {
    "config": "FILE", "write-config-to": "FILE", "master": "URL", "source": "S", "hostname-override": "NAME", "v": "N",
    "snapshot": "DIR", "status": "ADDR", "logging-format": "FORM", "kubeconfig": "FILE", "kube-api-qps": "N",
    "kube-api-burst": "N", "kube-api-content-type": "TYPE", "proxy-mode": "MODE", "cluster-cidr": "CIDR",
    "detect-local-mode": "MODE",
    "pod-bridge-interface": "NAME", "pod-interface-name-prefix": "PREFIX", "bind-address": "IP",
    "healthz-bind-address": "ADDR", "metrics-bind-address": "ADDR", "nodeport-addresses": "CIDR",
    "iptables-masquerade-bit": "N", "ipvs-scheduler": "NAME", "ipvs-exclude-cidrs": "CIDR",
    "conntrack-max-per-core": "N", "conntrack-min": "N", "oom-score-adj": "N", "feature-gates": "MAP",
    "show-hidden-metrics-for-version": "VERSION", "proxy-port-range": "RANGE",
}  # fmt: skip
"""What --help calls their values; other flags with a value have a duration."""
GROUPS: Final[Mapping[str, str]] = {
    "config": "what to do, and for which node",
    "v": "log",
    "kubeconfig": "API server",
    "proxy-mode": "Services",
    "bind-address": "addresses of the node",
    "masquerade-all": "mode iptables (those of nftables are in --config)",
    "ipvs-scheduler": "mode ipvs",
    "conntrack-max-per-core": "connection tracking, set once at the start",
    "config-sync-period": "the process, and what is taken without an effect",
}
"""What --help calls the flags from each of these on, in the order of `FLAGS`."""
KLOG: Final = (
    "add-dir-header", "alsologtostderr", "log-backtrace-at", "log-dir", "log-file", "log-file-max-size",
    "log-json-info-buffer-size", "log-json-split-stream", "log-text-info-buffer-size", "log-text-split-stream",
    "logtostderr", "one-output", "skip-headers", "skip-log-headers", "stderrthreshold", "vmodule",
)  # fmt: skip
"""Flags of Kubernetes' logger that are taken and do nothing."""
CADVISOR: Final = ("boot-id-file", "machine-id-file")
"""Flags that kube-proxy has from a library, and does not use either."""
WINDOWS: Final = (
    "enable-dsr", "forward-healthcheck-vip", "network-name", "root-hnsendpoint-name", "source-vip", "windows-service",
)  # fmt: skip
"""Flags that kube-proxy has on Windows only."""
VERSION: Final = "version"
"""``--version`` and ``--version=raw`` print it, as for every program of Kubernetes."""
HIDDEN: Final = (*KLOG, *CADVISOR, *WINDOWS, VERSION)
HIDDEN_BOOLEANS: Final = frozenset({
    "add-dir-header", "alsologtostderr", "log-json-split-stream", "log-text-split-stream", "logtostderr", "one-output",
    "skip-headers", "skip-log-headers", "enable-dsr", "forward-healthcheck-vip", "windows-service", VERSION,
})  # fmt: skip
SAME: Final = {("iptables", "masqueradeAll"): ("nftables", "masqueradeAll")}
"""--masquerade-all is for every mode."""


class ProxyCommand(NamedTuple):
    """What ``kdns proxy`` is to do."""

    settings: ProxySettings
    config: str = ""
    """The file of the settings, to be watched; empty: there is none."""
    write_config_to: str = ""
    cleanup: bool = False
    init_only: bool = False
    master: str = ""
    source: str = ""
    """As of ``kdns serve``; empty: what the kubeconfig says, or the cluster we run in."""
    dry_run: bool = False
    snapshot: str = ""
    """A folder for what is known of the cluster, to be used at the next start; empty: it is not kept."""
    status: str = ""
    """ADDRESS:PORT of the status pages; empty: there are none."""
    warnings: tuple[str, ...] = ()
    """To be logged."""
    config_text: str = ""
    """What was in the file."""


def normalized(argv: Sequence[str]) -> list[str]:
    """The words of a command line as argparse reads them: two dashes, and booleans with their value.

    Words that are no flag of ours are left as they are.
    """
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        match = re.fullmatch(r"(--?)([A-Za-z][A-Za-z0-9_.-]*)(=.*)?", word, re.DOTALL)
        if word == "--" or not match:
            words += [word, *rest] if word == "--" else [word]
            continue
        name, value = match[2].replace("_", "-"), match[3] or ""
        if match[1] == "-" and re.fullmatch(r"v[0-9]+", name):
            name, value = "v", f"={name[1:]}"
        if name in HIDDEN_BOOLEANS or (name in FLAGS and FLAGS[name].boolean):
            words.append(f"--{name}{value or '=true'}")
        elif name not in FLAGS and name not in HIDDEN:
            words.append(word)
        elif value:
            words.append(f"--{name}{value}")
        elif (following := next(rest, None)) is not None:
            words.append(f"--{name}={following}")
        else:
            words.append(f"--{name}")
    return words


def add_flags(part: argparse.ArgumentParser, without: Container[str] = ()) -> list[str]:
    """Every flag but those, in groups, for a command line that went through `normalized`; the flags, with dashes.

    Flags that are not given set no attribute.
    """
    group = part.add_argument_group("")
    for name, flag in FLAGS.items():
        if name in GROUPS:
            group = part.add_argument_group(GROUPS[name])
        if name not in without:
            group.add_argument(f"--{name}", default=argparse.SUPPRESS, help=flag.help, **_taking(name, flag))
    for name in HIDDEN:
        part.add_argument(f"--{name}", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return [f"--{name}" for name in FLAGS if name not in without]


def metavar(name: str) -> str:
    """What --help calls a flag's value."""
    if name in METAVARS:
        return METAVARS[name]
    return "DURATION" if name.endswith(("-period", "-frequency")) or "-timeout" in name else "VALUE"


def _taking(name: str, flag: Flag) -> dict[str, Any]:
    """How argparse takes a flag's value; a boolean without one is true."""
    if flag.boolean:
        return {"nargs": "?", "const": "true", "metavar": "=BOOL"}
    return {"action": "append" if flag.many else "store", "metavar": metavar(name)}


def proxy_command(arguments: Mapping[str, Any], environ: Mapping[str, str], read: Callable[[str], str]) -> ProxyCommand:
    """What the flags ask for. ``arguments`` are ``vars()`` of what argparse made of `add_flags`; others are left out.

    ``read`` gives the text of a file. Raises ConfigError, or ConfigErrors with all that is wrong.
    """
    for name in WINDOWS:
        if name.replace("-", "_") in arguments:
            raise ConfigError(f"--{name} is for nodes with Windows", hint="kdns runs on Linux only; leave it out")
    given = {name: arguments[key] for name in FLAGS if (key := name.replace("-", "_")) in arguments}
    config = given.get("config", "")
    names = {_path(flag.path): f"--{name}" for name, flag in FLAGS.items() if flag.path}
    names |= {other: names[first] for first, other in SAME.items()}
    reading = Reading(lambda path: names.get(path) or _flag_of_item(path, names), zeros_are_defaults=False)
    text = read(config) if config else ""
    base, warnings = parse_kubeproxy(text, config) if config else (None, ())
    ignored = [f"--{name}" for name in given if config and not FLAGS[name].with_config]
    if ignored:
        warnings = (*warnings, f"--config is given, so these flags are ignored: {', '.join(ignored)}")
    counted = {name: value for name, value in given.items() if f"--{name}" not in ignored}
    settings = reading.settings(_tree(counted), base)
    settings = replace(settings, external_ips=_external_ips(given, environ))
    return ProxyCommand(
        settings,
        config=config,
        write_config_to=given.get("write-config-to", ""),
        cleanup=_switch(given, "cleanup"),
        init_only=_switch(given, "init-only"),
        master=given.get("master", ""),
        source=given.get("source", ""),
        dry_run=_switch(given, "dry-run"),
        snapshot=given.get("snapshot", ""),
        status=_status_address(given.get("status", "")),
        warnings=(*warnings, *reading.warnings),
        config_text=text,
    )


def _status_address(text: str) -> str:
    try:
        return parse_local_address(text)
    except ValueError as error:
        problem, _, hint = str(error).partition("\n")
        raise ConfigError(f"--status: {problem}", hint=hint) from None


def version_form(arguments: Mapping[str, Any]) -> Literal["", "text", "raw"]:
    """How ``--version`` asks for the version; empty: it does not.

    As k8s.io/component-base reads it: true, false, raw, or a version to report, which changes nothing here.
    """
    text = arguments.get(VERSION, "false")
    if text == "raw":
        return "raw"
    if re.fullmatch(r"v[0-9].*", text):
        return ""
    return "text" if _boolean("--version", text) else ""


def _path(text: str) -> Path:
    return tuple(text.split("."))


def _flag_of_item(path: Path, names: Mapping[Path, str]) -> str:
    """The flag whose list or mapping a value is in; what no flag sets is called as in the file."""
    for prefix, name in names.items():
        if path[: len(prefix)] == prefix or ".".join(path).startswith(".".join(prefix) + "["):
            return name
    return ".".join(path)


def _tree(given: Mapping[str, Any]) -> Node:
    """Flags as the tree that a file with the same values would have given."""
    top: dict[str, Entry] = {}
    for name, value in given.items():
        if path := FLAGS[name].path and _path(FLAGS[name].path):
            for spelling in (path, SAME[path]) if path in SAME else (path,):
                mapping = top
                for word in spelling[:-1]:
                    inner = mapping.setdefault(word, Entry(None, Node({}))).node.value
                    assert isinstance(inner, dict)  # put there by the line above
                    mapping = inner
                mapping[spelling[-1]] = Entry(None, _node(find(spelling), value))
    return Node(top)


def _node(kind: Kind | ManyKind | MapKind, value: Any) -> Node:
    """The value of a flag as YAML would have given it."""
    if isinstance(kind, Kind):
        return Node(kind.plain(value))
    words = [word for text in value for word in text.split(",") if word]
    if isinstance(kind, ManyKind):
        return Node(tuple(map(Node, words)))
    pairs = (word.partition("=") for word in words)
    return Node({name.strip(): Entry(None, Node(BOOLEAN.plain(value.strip()))) for name, _, value in pairs})


def _switch(given: Mapping[str, Any], name: str, text: str = "false") -> bool:
    return _boolean(f"--{name}", given.get(name, text))


def _boolean(name: str, text: str) -> bool:
    try:
        return bool(BOOLEAN.read(BOOLEAN.plain(text)))
    except ValueError as error:
        problem, _, hint = str(error).partition("\n")
        raise ConfigError(f"{name}: {problem}", hint=hint) from None


def _external_ips(given: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    if "external-ips" in given:
        return _switch(given, "external-ips")
    return _boolean(EXTERNAL_IPS, environ.get(EXTERNAL_IPS) or "true")
