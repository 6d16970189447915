"""The proxy as a whole, but for the kernel, which is a dictionary: a cluster in; rules, pages and Events out."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kdns.base.errors import ConfigError, KernelError
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.config.kubeproxy.settings import IptablesSettings, NodePortAddresses, ProxySettings
from kdns.ops.shutdown import Stop
from kdns.proxy.app import ProxyApp
from kdns.proxy.apply.modes import ATTEMPTS, prepare_with_retries
from kdns.proxy.model import Family, Mode
from tests.fakes.api_server import SYSTEM_NODE_PROXIER, FakeApiServer
from tests.fakes.machine import FakeMachine
from tests.fakes.objects import endpoint_slice, node, service, service_cidr
from tests.ports import free_port
from tests.proxy.test_proxier import FakeApplier

NODE = "node-1"


def web(external_ips: tuple[str, ...] = (), **spec: Any) -> dict[str, Any]:
    """A Service of type LoadBalancer."""
    body = service("shop", "web", "10.96.0.9", [("http", 80)])
    body["spec"] |= {"type": "LoadBalancer", "externalIPs": list(external_ips), **spec}
    return body


def endpoints(*addresses: str) -> dict[str, Any]:
    """Its slice, all on our node."""
    body = endpoint_slice("shop", "web-1", "web", list(addresses))
    for one in body["endpoints"]:
        one["nodeName"] = NODE
    return body


def terminating(*addresses: str) -> dict[str, Any]:
    """The same while its Pods finish what they have."""
    body = endpoints(*addresses)
    for one in body["endpoints"]:
        one["conditions"] = {"ready": False, "serving": True, "terminating": True}
    return body


class Rig:
    """A running proxy."""

    def __init__(self, api: FakeApiServer, **settings: Any) -> None:
        self.healthz, self.pages = free_port(), free_port()
        settings.setdefault("healthz_bind_address", f"127.0.0.1:{self.healthz}")
        self.settings = ProxySettings(
            hostname_override=NODE,
            metrics_bind_address=f"127.0.0.1:{self.pages}",
            **settings,
        )
        self.machine = FakeMachine(self.settings)
        self.machine.problems = ("conntrack max is read-only",)
        self.app = ProxyApp(ProxyCommand(self.settings, source=api.url), self.machine)
        self.stop = Stop()

    @property
    def kernel(self) -> dict[str, list[str]]:
        """Service port -> addresses of its backends, of IPv4."""
        applied = self.machine.appliers[Family.IPV4].kernel
        return {str(name): [str(backend) for backend in rules.reachable] for name, rules in applied.items()}

    @property
    def ways(self) -> set[str]:
        """What the frontends are that the kernel has, of IPv4."""
        applied = self.machine.appliers[Family.IPV4].kernel.values()
        return {entry.frontend.way for rules in applied for entry in rules.entries}

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for something that must happen."""
        async with asyncio.timeout(120):
            while not true():  # noqa: ASYNC110 - it is about what others do
                await asyncio.sleep(0.01)

    async def get(self, port: int, path: str) -> tuple[int, str]:
        """Status and text of a page."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
            return response.status, await response.text()


@asynccontextmanager
async def running(api: FakeApiServer, **settings: Any) -> AsyncIterator[Rig]:
    """A proxy, from start to end."""
    rig = Rig(api, **settings)
    task = asyncio.create_task(rig.app.run(rig.stop))
    try:
        yield rig
    finally:
        rig.stop.asked.set()
        await task


async def test_a_cluster_becomes_rules() -> None:
    """With exactly the rights of system:node-proxier; a change is in force within the least interval."""
    objects = (node(NODE, "172.18.0.2"), service_cidr("kubernetes", "10.96.0.0/16"), web(), endpoints("10.244.0.5"))
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api, running(api) as rig:
        await rig.until(lambda: rig.kernel == {"shop/web:http": ["10.244.0.5:8080"]})
        api.put(endpoints("10.244.0.5", "10.244.0.6"))
        await rig.until(lambda: rig.kernel == {"shop/web:http": ["10.244.0.5:8080", "10.244.0.6:8080"]})
        node_rules = rig.app.families[0].proxier.policy.node
        assert [str(cidr) for cidr in node_rules.service_cidrs] == ["10.96.0.0/16"]
        assert rig.machine.appliers[Family.IPV4].syncs[-1] == "shop/web:http"
        triggered = endpoints("10.244.0.5")
        await asyncio.sleep(1)  # the annotation is in whole seconds, and what began before the start does not count
        began = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        triggered["metadata"]["annotations"] = {"endpoints.kubernetes.io/last-change-trigger-time": began}
        api.put(triggered)
        await rig.until(lambda: rig.kernel == {"shop/web:http": ["10.244.0.5:8080"]})
        _, scraped = await rig.get(rig.pages, "/metrics")
        assert 'kubeproxy_network_programming_duration_seconds_count{ip_family="IPv4"} 1.0' in scraped


async def test_others_wait_until_the_rules_are_in_force() -> None:
    """Before the first round, and after each change, `caught_up` waits until the kernel has what is known."""
    objects = (node(NODE, "172.18.0.2"), web(), endpoints("10.244.0.5"))
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api, running(api) as rig:
        await rig.app.caught_up()
        assert rig.kernel == {"shop/web:http": ["10.244.0.5:8080"]}
        api.put(endpoints("10.244.0.6"))
        await rig.until(lambda: rig.app.families[0].proxier.pending)
        await rig.app.caught_up()
        assert rig.kernel == {"shop/web:http": ["10.244.0.6:8080"]}


async def test_the_pages() -> None:
    """Health, mode, configuration and metrics, where kube-proxy has them."""
    objects = (node(NODE, "172.18.0.2"), web(), endpoints("10.244.0.5"))
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api, running(api) as rig:
        await rig.until(lambda: rig.kernel)
        status, text = await rig.get(rig.healthz, "/healthz")
        assert (status, json.loads(text)["healthy"]) == (200, True)
        assert await rig.get(rig.pages, "/proxyMode") == (200, "iptables")
        _, configured = await rig.get(rig.pages, "/configz")
        assert json.loads(configured)["kubeproxy.config.k8s.io"]["hostnameOverride"] == NODE
        _, scraped = await rig.get(rig.pages, "/metrics")
        families = {family.name: family for family in text_string_to_metric_families(scraped)}
        duration = families["kubeproxy_sync_proxy_rules_duration_seconds"]
        counts = {s.labels["ip_family"]: s.value for s in duration.samples if s.name.endswith("_count")}
        assert counts["IPv4"] >= 1
        (pending,) = families["kubeproxy_sync_proxy_rules_service_changes_pending"].samples
        assert pending.value == 0
        (changes,) = families["kubeproxy_sync_proxy_rules_service_changes"].samples
        assert changes.value == 2, "each family counts a Service's change, as in kube-proxy"
        requests = families["rest_client_requests"].samples
        assert {(sample.labels["code"], sample.labels["method"]) for sample in requests} >= {("200", "GET")}
        asked = families["rest_client_request_duration_seconds"].samples
        bounds = [sample.labels["le"] for sample in asked if sample.name.endswith("_bucket")][:12]
        assert bounds == ["0.005", "0.025", "0.1", "0.25", "0.5", "1", "2", "4", "8", "15", "30", "60"]
        api.put(node(NODE, "172.18.0.2") | {"spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}})
        await rig.until(lambda: not rig.app._health.node_eligible)
        assert (await rig.get(rig.healthz, "/healthz"))[0] == 503
        assert (await rig.get(rig.healthz, "/livez"))[0] == 200


async def test_health_checks_of_services() -> None:
    """200 while there is a ready endpoint here, 503 otherwise; the port closes with the Service.

    Where all terminate, the rules stay as they are, and load balancers are told to go elsewhere.
    """
    port = free_port()
    local = web(externalTrafficPolicy="Local", healthCheckNodePort=port)
    objects = (node(NODE, "172.18.0.2"), local, endpoints("10.244.0.5", "10.244.0.6"))

    async def status(rig: Rig) -> int:
        try:
            return (await rig.get(port, "/whatever"))[0]
        except aiohttp.ClientConnectorError:
            return 0

    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api, running(api) as rig:
        ending = terminating("10.244.0.5", "10.244.0.6")
        steps = ((None, 200), (ending, 503), (endpoints("10.244.0.5"), 200), (endpoints(), 503), (web(), 0))
        for change, expected in steps:
            if change is not None:
                api.put(change)
            async with asyncio.timeout(120):
                while await status(rig) != expected:  # noqa: ASYNC110 - it is about what others do
                    await asyncio.sleep(0.02)


async def test_what_is_left_out_is_an_event() -> None:
    """About the Service; a sysctl that cannot be set, about the Node. Both say who says so."""
    objects = (node(NODE, "172.18.0.2"), web(("169.254.169.254", "203.0.113.5")), endpoints("10.244.0.5"))
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api, running(api) as rig:
        await rig.until(lambda: len(api.events) >= 3)
        said = {(event["regarding"]["name"], event["reason"], event["note"]) for event in api.events}
        assert said == {
            ("web", "AddressLeftOut", "external IP 169.254.169.254 left out: it is link-local"),
            (NODE, "SysctlNotSet", "conntrack max is read-only"),
            (NODE, "Starting", ""),
        }
        (starting,) = (event for event in api.events if event["reason"] == "Starting")
        assert (starting["type"], starting["action"], starting["regarding"]["kind"]) == (
            "Normal",
            "StartKubeProxy",
            "Node",
        )
        assert starting["metadata"]["namespace"] == "default"
        instances = {event["reportingInstance"] for event in api.events}
        assert instances == {f"kube-proxy-{socket.gethostname()}"}
        ways = {
            entry.frontend.way for rules in rig.machine.appliers[Family.IPV4].kernel.values() for entry in rules.entries
        }
        assert ways == {"cluster IP", "external IP"}


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
async def test_loopback_is_routed_only_behind_the_guard(mode: Mode) -> None:
    """Whatever listens on 127.0.0.1 of a node trusts that nobody else comes there (CVE-2020-8558)."""
    objects = (node(NODE, "172.18.0.2"), web(), endpoints("10.244.0.5"))
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api:
        rig = Rig(api, mode=mode)
        task = asyncio.create_task(rig.app.run(rig.stop))
        await rig.until(lambda: "clean up ipvs IPv6" in rig.machine.done)
        rig.stop.asked.set()
        await task
    routed = ["route localnet behind rules"] if mode == "iptables" else []
    other = "nftables" if mode == "iptables" else "iptables"
    cleaned = [f"clean up {name} {family.value}" for name in (other, "ipvs") for family in Family]
    assert rig.machine.done == ["load conntrack", "apply conntrack", *routed, *cleaned]


async def test_external_ips_can_be_switched_off() -> None:
    """CVE-2020-8554: one setting."""
    objects = (node(NODE, "172.18.0.2"), web(("203.0.113.5",)), endpoints("10.244.0.5"))
    async with (
        FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api,
        running(api, external_ips=False) as rig,
    ):
        await rig.until(lambda: rig.kernel)
        ways = {
            entry.frontend.way for rules in rig.machine.appliers[Family.IPV4].kernel.values() for entry in rules.entries
        }
        assert ways == {"cluster IP"}


async def test_an_older_cluster_without_servicecidrs(caplog: pytest.LogCaptureFixture) -> None:
    """Rules of before 1.33: one warning, and all goes on."""
    older = {rule for rule in SYSTEM_NODE_PROXIER if rule[2] != "servicecidrs"}
    objects = (node(NODE, "172.18.0.2"), web(), endpoints("10.244.0.5"))
    with caplog.at_level(logging.WARNING):
        async with FakeApiServer(objects, rules=older) as api, running(api) as rig:
            await rig.until(lambda: rig.kernel)
    assert len([one for one in caplog.messages if "servicecidrs" in one]) == 1


async def test_a_family_that_cannot_be_served_is_left_out() -> None:
    """One that can is enough; with none at all, the first problem is the operator's."""

    class Lacking(FakeApplier):
        async def prepare(self) -> None:
            raise ConfigError("mode iptables needs ip6tables, which is not installed")

    objects = (node(NODE, "172.18.0.2"), web(), endpoints("10.244.0.5"))
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api:
        rig = Rig(api)
        rig.machine.appliers[Family.IPV6] = Lacking()
        task = asyncio.create_task(rig.app.run(rig.stop))
        await rig.until(lambda: rig.kernel)
        rig.stop.asked.set()
        await task
        rig = Rig(api)
        rig.machine.appliers = {family: Lacking() for family in Family}
        with pytest.raises(ConfigError, match="ip6tables"):
            await rig.app.run(rig.stop)


async def test_a_node_that_is_gone_keeps_its_rules(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody has deleted the Node object, and the kubelet makes another: meanwhile addresses are what they were."""
    objects = (node(NODE, "172.18.0.2"), web(), endpoints("10.244.0.5"))
    primary = NodePortAddresses(primary=True)
    async with (
        FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api,
        running(api, node_port_addresses=primary) as rig,
    ):
        await rig.until(lambda: rig.kernel)
        before = rig.app.families[0].proxier.policy
        assert before.node.node_port_addresses == (bytes((172, 18, 0, 2)),)
        api.delete("Node", "", NODE)
        await rig.until(lambda: f"Node {NODE} is gone" in caplog.text)
        assert rig.app.families[0].proxier.policy == before


async def test_a_lock_that_others_hold_is_waited_for() -> None:
    """A family is not left out for it; what goes on and on is told. Asked to end meanwhile, it ends."""

    class Locked(FakeApplier):
        async def prepare(self) -> None:
            if self.failures:
                raise self.failures.pop()

    async def at_once() -> None:
        await asyncio.sleep(0)

    applier = Locked()
    applier.failures = [KernelError(("iptables-restore",), 4, "the lock is held")] * (ATTEMPTS - 1)
    assert await prepare_with_retries(applier, "mode iptables, IPv4", at_once) is applier
    applier.failures = [KernelError(("iptables-restore",), 4, "the lock is held")] * ATTEMPTS
    with pytest.raises(ConfigError, match=r"mode iptables, IPv4: .*the lock is held"):
        await prepare_with_retries(applier, "mode iptables, IPv4", at_once)

    async with FakeApiServer((), rules=SYSTEM_NODE_PROXIER) as api:
        rig = Rig(api)
        rig.machine.appliers = dict.fromkeys(Family, applier)
        applier.failures = [KernelError(("iptables-restore",), 4, "the lock is held")] * 1000
        task = asyncio.create_task(rig.app.run(rig.stop))
        await rig.until(lambda: len(applier.failures) < 1000)
        rig.stop.asked.set()
        async with asyncio.timeout(120):
            await task


async def test_a_bug_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one in a round, nor one beside the rules; the page counts them."""
    local = web(externalTrafficPolicy="Local", healthCheckNodePort=free_port())
    objects = (node(NODE, "172.18.0.2"), local, endpoints("10.244.0.5"))
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api, running(api) as rig:
        rig.machine.appliers[Family.IPV4].failures = [RuntimeError("a bug")]
        await rig.until(lambda: rig.app.families)
        monkeypatch.setattr(rig.app.families[0].checks, "sync", None)
        await rig.until(lambda: rig.kernel)
        await rig.until(lambda: rig.app._watching.panics == 2)
        _, scraped = await rig.get(rig.pages, "/metrics")
        assert "kdns_proxy_bugs_total 2.0" in scraped


async def test_rules_that_others_modify_are_counted() -> None:
    """They are written again, and the page says how often that was."""
    often = IptablesSettings(sync_period=0.1, min_sync_period=0.0)
    objects = (node(NODE, "172.18.0.2"), web(), endpoints("10.244.0.5"))
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api, running(api, iptables=often) as rig:
        await rig.until(lambda: rig.kernel)
        _, scraped = await rig.get(rig.pages, "/metrics")
        assert 'kdns_proxy_rules_modified_total{ip_family="IPv4"} 0.0' in scraped
        applier = rig.machine.appliers[Family.IPV4]
        syncs = len(applier.syncs)
        applier.whole = False
        await rig.until(lambda: len(applier.syncs) > syncs)
        applier.whole = True
        _, scraped = await rig.get(rig.pages, "/metrics")
        assert 'kdns_proxy_rules_modified_total{ip_family="IPv4"} 0.0' not in scraped
        assert 'kdns_proxy_rules_modified_total{ip_family="IPv4"} ' in scraped


async def test_a_changed_configuration_ends_the_process(tmp_path: Any) -> None:
    """With exit status 1, so that it is started anew."""
    path = tmp_path / "config.conf"
    path.write_text("a")
    objects = (node(NODE, "172.18.0.2"), web(), endpoints("10.244.0.5"))
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api:
        rig = Rig(api)
        command = ProxyCommand(rig.settings, source=api.url, config=str(path), config_text="a")
        rig.app = ProxyApp(command, rig.machine, config_every=0.05)
        task = asyncio.create_task(rig.app.run(rig.stop))
        await rig.until(lambda: rig.kernel)
        path.write_text("b")
        async with asyncio.timeout(120):
            await task
        assert rig.stop.status == 1


@pytest.mark.parametrize("mode", ["ipvs", "nftables"])
async def test_other_nodes_are_followed_in_mode_ipvs_only(mode: Mode) -> None:
    """Their addresses never come onto this node's dummy link; the other modes have none, and need no watch of Nodes."""
    objects = (node(NODE, "172.18.0.2"), node("node-2", "172.18.0.3"), web(("172.18.0.3",)), endpoints("10.244.0.5"))
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api, running(api, mode=mode) as rig:
        await rig.until(lambda: rig.kernel)

        def others() -> frozenset[bytes]:
            return rig.app.families[0].proxier.policy.node.other_nodes

        if mode == "nftables":
            assert others() == frozenset()
            return
        assert others() == {bytes((172, 18, 0, 3))}
        api.put(node("node-3", "172.18.0.4"))
        await rig.until(lambda: others() == {bytes((172, 18, 0, 3)), bytes((172, 18, 0, 4))})
        api.delete("Node", "", "node-2")
        await rig.until(lambda: others() == {bytes((172, 18, 0, 4))})
