"""The plugins that configure the server, and kubernetes' options: what their lines say, and what they must not say."""

from types import ModuleType

import pytest
from msgspec import Struct

from kdns.base.errors import ConfigError
from kdns.config.settings import ApiOptions, KubernetesOptions
from kdns.dns.api.plugin import DirectiveContext
from kdns.dns.plugins import bind, cancel, debug, errors, health, kubernetes, prometheus, ready, reload, timeouts
from kdns.kernel.interfaces import InterfaceAddress
from tests.config.text import directives

PLACE = DirectiveContext(("cluster.local.", "in-addr.arpa."), 53, "/etc/coredns")
K8S = KubernetesOptions
ZONES = PLACE.zones

GOOD: tuple[tuple[ModuleType, str, Struct], ...] = (
    (health, "health", health.Options(address=":8080", lameduck=0)),
    (health, "health localhost:8091 {\n lameduck 1m5s\n}", health.Options(address="127.0.0.1:8091", lameduck=65)),
    (health, "health [::1]:8080", health.Options(address="[::1]:8080")),
    (health, "health 169.254.20.10:8080", health.Options(address="169.254.20.10:8080")),
    (ready, "ready", ready.Options(address=":8181", continuously=False)),
    (ready, "ready :1 {\n monitor continuously\n}", ready.Options(address=":1", continuously=True)),
    (ready, "ready {\n monitor until-ready\n}", ready.Options()),
    (prometheus, "prometheus", prometheus.Options(address="127.0.0.1:9153")),
    (prometheus, "prometheus :9253 {\n runtime_metrics\n}", prometheus.Options(address=":9253", runtime_metrics=True)),
    (reload, "reload", reload.Options(interval=30, jitter=15)),
    (reload, "reload 10s", reload.Options(interval=10, jitter=5)),
    (reload, "reload 2s 1s", reload.Options(interval=2, jitter=1)),
    (reload, "reload 20s 0", reload.Options(interval=20, jitter=0)),
    (reload, "reload 4s 1h", reload.Options(interval=4, jitter=2)),
    (debug, "debug", debug.Options()),
    (cancel, "cancel", cancel.Options(timeout=5.001)),
    (cancel, "cancel 500ms", cancel.Options(timeout=0.5)),
    (timeouts, "timeouts {\n read 1s\n write 24h\n idle 90s\n}", timeouts.Options(read=1, write=86400, idle=90)),
    (timeouts, "timeouts {\n maxtcpqueries 7\n}", timeouts.Options(queries=7)),
    (timeouts, "timeouts {\n maxtcpqueries -1\n}", timeouts.Options(queries=None)),
    (errors, "errors", errors.Options()),
    (errors, "errors stdout {\n stacktrace\n}", errors.Options(stacktrace=True)),
    (
        errors,
        'errors {\n consolidate 5m ".* i/o timeout$" warning show_first\n consolidate 30s ^Failed\n}',
        errors.Options(
            rules=(errors.Rule(300, "5m", ".* i/o timeout$", 30, show_first=True), errors.Rule(30, "30s", "^Failed"))
        ),
    ),
    (kubernetes, "kubernetes", K8S(zones=ZONES)),
    (kubernetes, "kubernetes a.test 10.0.0.0/8", K8S(zones=("a.test.", "10.in-addr.arpa."))),
    (
        kubernetes,
        "kubernetes {\n pods verified\n ttl 3600\n endpoint_pod_names\n noendpoints\n ignore empty_service\n}",
        K8S(
            zones=ZONES, pods="verified", ttl=3600, endpoint_pod_names=True, endpoints=False, ignore_empty_service=True
        ),
    ),
    (kubernetes, "kubernetes {\n zonal\n}", K8S(zones=ZONES, zonal=True)),
    (
        kubernetes,
        "kubernetes c.test Set.test other.test {\n multicluster set.test\n multicluster other.test. set.test\n}",
        K8S(zones=("c.test.", "set.test.", "other.test."), multicluster=("set.test.", "other.test.")),
    ),
    (
        kubernetes,
        "kubernetes {\n namespaces a b\n namespaces c\n labels app in (x, y)\n fallthrough\n startup_timeout 1m\n}",
        K8S(
            zones=ZONES,
            namespaces=("a", "b", "c"),
            labels="app in (x, y)",
            fallthrough=(".",),
            startup_timeout=60,
        ),
    ),
    (
        kubernetes,
        "kubernetes {\n namespace_labels istio-injection=enabled\n fallthrough in-addr.arpa IP6.arpa\n}",
        K8S(zones=ZONES, namespace_labels="istio-injection=enabled", fallthrough=("in-addr.arpa.", "ip6.arpa.")),
    ),
    (
        kubernetes,
        "kubernetes {\n endpoint https://k8s:6443\n tls cert key /ca\n apiserver_qps 1.5\n apiserver_burst 3\n}",
        K8S(
            zones=ZONES,
            api=ApiOptions(
                endpoint="https://k8s:6443",
                certificate="/etc/coredns/cert",
                key="/etc/coredns/key",
                ca="/ca",
                qps=1.5,
                burst=3,
            ),
        ),
    ),
    (
        kubernetes,
        "kubernetes {\n kubeconfig config prod\n apiserver_max_inflight 2\n}",
        K8S(zones=ZONES, api=ApiOptions(kubeconfig="/etc/coredns/config", context="prod", inflight=2)),
    ),
)


@pytest.mark.parametrize(("module", "text", "options"), GOOD, ids=[text for _, text, _ in GOOD])
def test_options(module: ModuleType, text: str, options: Struct) -> None:
    """The lines of a Corefile as values."""
    assert module.parse(directives(text), PLACE) == options


BAD: tuple[tuple[ModuleType, str, str], ...] = (
    (health, "health :8080 :8081", "takes 0 to 1 argument"),
    (health, "health 8080", "invalid ADDRESS:PORT"),
    (health, "health ::1:8080", "put brackets around an IPv6 address"),
    (health, "health :99999", "invalid ADDRESS:PORT"),
    (health, "health example:80", "invalid IP address 'example'"),
    (health, "health {\n lameduck\n}", "'lameduck' needs 1 argument"),
    (health, "health {\n lameduck 5\n}", "it needs a unit"),
    (health, "health {\n lameducks 5s\n}", "did you mean lameduck?"),
    (ready, "ready {\n monitor always\n}", "'always' is none of until-ready, continuously"),
    (prometheus, "prometheus {\n runtime_metrics yes\n}", "'runtime_metrics' takes no argument"),
    (reload, "reload 1s", "at least 2s"),
    (reload, "reload 30s 500ms", "0, or at least 1s"),
    (reload, "reload {\n a\n}", "'reload' has no block"),
    (reload, "reload\nreload", "'reload' stands twice in this server block"),
    (debug, "debug on", "'debug' takes no argument"),
    (cancel, "cancel 0", "at least 0.001s"),
    (timeouts, "timeouts", "timeouts says nothing"),
    (timeouts, "timeouts {\n read 500ms\n}", "at least 1s"),
    (timeouts, "timeouts {\n idle 25h\n}", "at most 86400s"),
    (timeouts, "timeouts {\n maxtcpqueries 0\n}", "-1 for any number, or at least 1"),
    (timeouts, "timeouts 5s", "'timeouts' takes no argument"),
    (bind, "bind", "'bind' needs at least 1 argument"),
    (bind, "bind 10.0.0.1 {\n except\n}", "'except' needs at least 1 argument"),
    (errors, "errors stderr", "errors go to stdout"),
    (errors, "errors {\n consolidate 5m\n}", "'consolidate' needs 2 to 4 arguments"),
    (errors, "errors {\n consolidate 5m (\n}", "invalid regular expression"),
    (errors, "errors {\n consolidate 5m a loud\n}", "'loud' is none of warning, error, info, debug"),
    (errors, "errors {\n consolidate 5m a show_first error\n}", "the level comes first, then show_first"),
    (errors, f"errors {{\n consolidate 5m {'a' * 10_001}\n}}", "10000 are allowed"),
    (kubernetes, "kubernetes 10.in-addr.arpa", "at least one zone must be a forward zone"),
    (kubernetes, "kubernetes {\n pods all\n}", "'all' is none of disabled, insecure, verified"),
    (kubernetes, "kubernetes {\n ttl 3601\n}", "0 to 3600"),
    (kubernetes, "kubernetes {\n ttl -1\n}", "0 to 3600"),
    (kubernetes, "kubernetes {\n namespaces\n}", "'namespaces' needs at least 1 argument"),
    (kubernetes, "kubernetes {\n namespaces a\n namespace_labels b\n}", "exclude each other"),
    (kubernetes, "kubernetes {\n namespaces A_B\n}", "invalid Namespace"),
    (kubernetes, "kubernetes {\n tls a b\n}", "'tls' needs 3 arguments"),
    (kubernetes, "kubernetes {\n tls a b c\n}", "tls without endpoint"),
    (kubernetes, "kubernetes {\n endpoint k8s:6443\n}", "invalid URL 'k8s:6443'"),
    (kubernetes, "kubernetes {\n endpoint https://a https://b\n}", "only one endpoint"),
    (kubernetes, "kubernetes {\n kubeconfig\n}", "'kubeconfig' needs 1 to 2 arguments"),
    (kubernetes, "kubernetes {\n apiserver_qps nan\n}", "at least 0"),
    (kubernetes, "kubernetes {\n apiserver_qps fast\n}", "'fast' is not a number"),
    (kubernetes, "kubernetes {\n apiserver_burst -1\n}", "at least 0"),
    (kubernetes, "kubernetes {\n ignore everything\n}", "'everything' is none of empty_service"),
    (kubernetes, "kubernetes {\n zonal\n noendpoints\n}", "zonal has no endpoints to choose from"),
    (kubernetes, "kubernetes {\n upstream\n}", "'kubernetes' has no property 'upstream'"),
    (kubernetes, "kubernetes {\n resyncperiod 5m\n}", "'kubernetes' has no property 'resyncperiod'"),
    (kubernetes, "kubernetes\nkubernetes", "'kubernetes' stands twice in this server block"),
)


@pytest.mark.parametrize(("module", "text", "problem"), BAD, ids=[text[:60] for _, text, _ in BAD])
def test_mistakes(module: ModuleType, text: str, problem: str) -> None:
    """What cannot be is told at its place, with what would be right."""
    with pytest.raises(ConfigError) as caught:
        module.parse(directives(text), PLACE)
    assert problem in str(caught.value)
    assert caught.value.at is not None


HERE = (
    InterfaceAddress("lo", bytes((127, 0, 0, 1))),
    InterfaceAddress("lo", bytes(15) + b"\1"),
    InterfaceAddress("eth0", bytes((10, 0, 0, 4))),
    InterfaceAddress("eth0", bytes.fromhex("fe80" + "00" * 13 + "07")),
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bind 10.0.0.1 ::1", ("10.0.0.1", "::1")),
        ("bind eth0", ("10.0.0.4", "fe80::7%eth0")),
        ("bind lo eth0 {\n except 127.0.0.1 eth0\n}", ("::1",)),
        ("bind lo {\n except lo\n}\nbind 10.0.0.1", ("10.0.0.1",)),
        ("bind 10.0.0.1\nbind 10.0.0.1 10.0.0.2", ("10.0.0.1", "10.0.0.2")),
    ],
)
def test_bind(text: str, found: tuple[str, ...]) -> None:
    """Addresses stand for themselves, interfaces for theirs; lines add up, and each spares its own."""
    assert bind.addresses(bind.parse(directives(text), PLACE), HERE) == found


@pytest.mark.parametrize(
    ("text", "problem"),
    [("bind eth7", "'eth7' is no IP address and no interface"), ("bind lo {\n except lo\n}", "bind leaves no address")],
)
def test_bind_without_addresses(text: str, problem: str) -> None:
    """What is on no interface is told with those there are."""
    with pytest.raises(ConfigError, match=problem):
        bind.addresses(bind.parse(directives(text), PLACE), HERE)
