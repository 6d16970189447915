"""The composition root of ``kdns proxy``: the cluster's changes become rules in the kernel of this node.

::

    source ──> follower ──> ProxyApp.apply ──> a Proxier for each family ──> applier
                                │                  └──> Reports: UDP flows, health, metrics, Events
                                └──> our Node, ServiceCIDRs, interfaces ──> the policy of each family

Rules stay when the process ends: traffic goes on, and the next proxy takes them over.
"""

import asyncio
import logging
import platform
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Literal

from kdns import __version__
from kdns.base.errors import ConfigError, first_mistake
from kdns.base.objects import Change, Node, NodeChange, ObjectKey, ServiceChange, ServiceCIDRChange
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.config.kubeproxy.writing import configz
from kdns.config.load import read_kubeproxy
from kdns.config.settings import ApiOptions
from kdns.metrics.cluster import CLIENT_GO_BUCKETS, ClusterCounts
from kdns.metrics.dns import Metrics
from kdns.metrics.proxy import Changed, ProxyMetrics
from kdns.ops.changed import EVERY, until_changed
from kdns.ops.shutdown import Stop, unless_asked
from kdns.proxy.apply.applier import Applier
from kdns.proxy.apply.modes import Printer, prepare_with_retries
from kdns.proxy.caught_up import CaughtUp
from kdns.proxy.family_proxy import FamilyProxy
from kdns.proxy.healthcheck.proxy_health import ProxyHealth
from kdns.proxy.healthcheck.proxy_ports import PagesPort, health_pages, metrics_pages
from kdns.proxy.healthcheck.service_checks import ServiceChecks, hosts
from kdns.proxy.in_force import InForce
from kdns.proxy.left_out import LeftOut
from kdns.proxy.machine import Machine, clean_up_others
from kdns.proxy.model import Family
from kdns.proxy.node_view import NodeView
from kdns.proxy.proxier import Proxier, Round
from kdns.proxy.report import Reports, Watches, cleaned_in, log_left_out
from kdns.proxy.rules import Policy
from kdns.watch.api.cluster import ApiSource
from kdns.watch.api.events import CONTROLLER, EventRecorder
from kdns.watch.follower import ChangeConsumer, Follower, proxy_wants
from kdns.watch.open_source import build_source, snapshot_file
from kdns.watch.source import Source

LOG: Final = logging.getLogger("kdns.proxy")
POD_CIDR_PATIENCE: Final = 300.0
"""Seconds for a Node to be given its podCIDRs, with detectLocalMode NodeCIDR."""
AFTER_A_BUG: Final = 5.0
"""Seconds until what a bug has ended is restarted."""


class ProxyApp:
    """One proxy on one node."""

    def __init__(
        self,
        command: ProxyCommand,
        machine: Machine | None = None,
        *,
        config_every: float = EVERY,
        beside: Sequence[ChangeConsumer] = (),
    ) -> None:
        """``machine``: None is the one we run on. ``config_every``: seconds from one look at the file to the next.
        ``beside``: who else takes the changes of the cluster."""
        self._beside = tuple(beside)
        self.settings, self._command = command.settings, command
        self._machine, self._config_every = machine or Machine(command.settings), config_every
        self.node_name = self.settings.node_name(socket.gethostname())
        self._node_key = ObjectKey("Node", "", self.node_name)
        self._view = NodeView(self.settings, self.node_name)
        self.families: list[FamilyProxy] = []
        self._watching = Metrics(__version__, platform.python_implementation().lower() + platform.python_version())
        """Of the watches; and bugs are counted here."""
        self._watching.cluster = ClusterCounts(request_buckets=CLIENT_GO_BUCKETS)
        self._health = ProxyHealth(2 * self.settings.sync_period, time.monotonic, time.time)
        self.metrics: ProxyMetrics  # once the families are known
        self._recorder: EventRecorder | None = None
        self._waiting: dict[Changed, int] = {"service": 0, "endpoint": 0}
        """Changes that are not in force yet."""
        self._synced = asyncio.Event()
        self._known = asyncio.Event()
        """The cluster was listed, or a snapshot of it was read that stands in."""
        self._caught_up = CaughtUp()
        self._node_known = asyncio.Event()
        self.in_force = InForce((), ())
        self.follower: Follower | None = None

    @property
    def synced(self) -> bool:
        """True once every initial list is complete."""
        return self._synced.is_set()

    @synced.setter
    def synced(self, synced: bool) -> None:
        if synced:
            self._synced.set()
            self._now_known()

    def _now_known(self) -> None:
        """Everything was listed, or is as a snapshot has it."""
        self.renew()
        self._known.set()

    def apply(self, change: Change, now: int) -> None:
        """Take in one change of the cluster."""
        match change:
            case ServiceChange(_, before, after):
                if (before.service if before else None) is not (after.service if after else None):
                    self.metrics.changed("service", len(self.families))  # as kube-proxy: once for each family
                    self._waits("service")
                if (before.slices if before else ()) is not (after.slices if after else ()):
                    self.metrics.changed("endpoint")
                    self._waits("endpoint")
                for proxy in self.families:
                    proxy.proxier.touch(change)
                    self._health.queued(proxy.family.value)
                    self.metrics.queued(proxy.family.value, time.time())
            case NodeChange(key, _, None) if key.name == self.node_name:
                LOG.warning("Node %s is gone from the cluster; its last values stay in force", self.node_name)
            case NodeChange(key, _, Node() as after) if key.name == self.node_name:
                self._view.apply(change)
                self._health.node_eligible = after.eligible
                if after.pod_cidrs or self.settings.detect_local_mode != "NodeCIDR":
                    self._node_known.set()
                self.renew()
            case NodeChange() | ServiceCIDRChange():
                if self._view.apply(change) and self._known.is_set():  # before, there may be thousands
                    self.renew()

    def _waits(self, what: Changed) -> None:
        self._waiting[what] += 1
        self.metrics.pending(what, self._waiting[what])

    def renew(self) -> None:
        """Work the policy of each family out again: the Node, a ServiceCIDR or an interface may be another."""
        try:
            interfaces = self._machine.interfaces()
        except OSError as error:
            LOG.warning("the addresses of this machine cannot be read, to be tried again: %s", error)
            return
        for proxy in self.families:
            proxy.proxier.policy = self._policy(proxy.family, interfaces)

    def _policy(self, family: Family, interfaces: Iterable[bytes]) -> Policy:
        return self._view.policy(family, interfaces, liberal=self._machine.liberal())

    async def caught_up(self) -> None:
        """Wait until the kernel has the rules of what is known of the cluster now, in every family."""
        await self._caught_up.until(lambda: {proxy.family: proxy.proxier.pending for proxy in self.families})

    async def run(self, stop: Stop) -> None:
        """Work until asked to stop. Raises ConfigError for what the operator must fix."""
        if not await unless_asked(stop, self._prepare()):
            return
        source = self._source
        self.follower = follower = Follower(
            source,
            proxy_wants(self.node_name, every_node=self.settings.mode == "ipvs"),
            (self, *self._beside),
            self._watching,
            names=False,
            snapshots=snapshot_file(source, "" if self._command.dry_run else self._command.snapshot, "proxy"),
            restored=self._now_known,
        )
        self.in_force = InForce(follower.recent, [proxy.family for proxy in self.families])
        ports = self._ports(Watches(self._watching))
        if not self._command.dry_run:
            self._cleaner.start()
        try:
            for port in ports:
                await port.open()
            with first_mistake():
                async with asyncio.TaskGroup() as tasks:
                    running = follower.start(tasks)
                    works = [self._begin(stop), self._keep(self._renew_later), self._until_changed(stop)]
                    if not self._command.dry_run:
                        works += [self._keep(proxy.sync_checks) for proxy in self.families]
                    running += [tasks.create_task(work) for work in works]
                    if isinstance(source, ApiSource) and not self._command.dry_run:
                        self._recorder = source.recorder(f"{CONTROLLER}-{socket.gethostname()}")
                        self._event(self._node_key, "Normal", "Starting", "", "StartKubeProxy")
                        running.append(tasks.create_task(self._recorder.run(), name="events"))
                    running += [
                        tasks.create_task(proxy.proxier.run(), name=proxy.family.value) for proxy in self.families
                    ]
                    await stop.asked.wait()
                    for task in running:
                        task.cancel()
        finally:
            await asyncio.to_thread(self._cleaner.close)
            for proxy in self.families:
                await proxy.checks.close()
            for port in ports:
                await port.close()
            await source.close()

    async def _prepare(self) -> None:
        """Find out which families can be served, and where the cluster is. Raises ConfigError if there is none."""
        appliers: dict[Family, Applier] = {}
        problems: list[ConfigError] = []
        for family in self._machine.families():
            try:
                appliers[family] = await prepare_with_retries(
                    self._applier(family), f"mode {self.settings.mode}, {family.value}"
                )
            except ConfigError as error:
                problems.append(error)
        if not appliers:
            raise problems[0]
        for problem in problems:
            LOG.warning("one address family is left out: %s", problem)
        self.metrics = ProxyMetrics(
            self.settings.mode, [family.value for family in appliers], self._machine.counted_packets
        )
        self._cleaner = self._machine.flow_cleaner(cleaned_in(asyncio.get_running_loop(), self.metrics))
        interfaces = self._machine.interfaces()
        self.families = [self._family(family, applier, interfaces) for family, applier in appliers.items()]
        self._source = await self._build_source()

    def _applier(self, family: Family) -> Applier:
        if self._command.dry_run:
            return Printer(self.settings, family, self._machine.interfaces())
        return self._machine.applier(self.settings.mode, family)

    def _family(self, family: Family, applier: Applier, interfaces: Iterable[bytes]) -> FamilyProxy:
        checked = asyncio.Event()
        reports = Reports(family, self.metrics, self._health, self._cleaner)

        async def report(done: Round) -> None:
            self.in_force.note(family, done, self._watching.cluster.clock(), proxier.left_out)
            if await reports.take(done, proxier):
                checked.set()
            if done.applied is None:
                return
            self._caught_up.note(family, done.known)
            if not any(proxy.proxier.pending for proxy in self.families):
                for what in self._waiting:
                    self._waiting[what] = 0
                    self.metrics.pending(what, 0)

        proxier = Proxier(
            self._policy(family, interfaces),
            applier,
            least=self.settings.min_sync_period,
            period=self.settings.sync_period,
            report=report,
            report_left_out=self._left_out,
            untidy=lambda: self.metrics.cleanup_failed(family.value),
            bug=self._bug,
            modified=lambda: self.metrics.modified(family.value),
        )
        checks = ServiceChecks(
            lambda: self._health.keeps_up(family.value),
            self._event,
            hosts=lambda: hosts(family, proxier.policy.node.node_port_addresses),
            node=self.node_name,
        )
        return FamilyProxy(family, applier, proxier, reports, checks, checked)

    async def _build_source(self) -> Source:
        client, master = self.settings.client_connection, self._command.master
        text = self._command.source or (f"kubeconfig:{client.kubeconfig}" if client.kubeconfig else master or "cluster")
        return await build_source(
            text, api=ApiOptions(qps=client.qps, burst=client.burst), master=master, counts=self._watching.cluster
        )

    def _ports(self, watches: Watches) -> list[PagesPort]:
        if self._command.dry_run:
            return []
        settings, registry = self.settings, self.metrics.registry()
        registry.register(watches)
        return [
            PagesPort(
                "--healthz-bind-address",
                settings.healthz_bind_address,
                health_pages(self._health, self.metrics.probed),
                hard_fail=settings.bind_address_hard_fail,
            ),
            PagesPort(
                "--metrics-bind-address",
                settings.metrics_bind_address,
                metrics_pages(settings.mode, lambda: configz(settings), registry),
                hard_fail=settings.bind_address_hard_fail,
            ),
        ]

    async def _begin(self, stop: Stop) -> None:
        """Once the cluster is known, write; once that is done, remove what other modes have left.

        From a snapshot rules are written only where the kernel has none: those that it has are newer.
        """
        await self._known.wait()
        if self._view.node is None:
            LOG.warning("the cluster has no Node %s; --hostname-override says another name", self.node_name)
        if self.settings.detect_local_mode == "NodeCIDR":
            await self._wait_for_pod_cidrs()
        if not self._command.dry_run:
            await self._machine.load_conntrack()  # else its settings are not there before the first rule that needs it
            await self._set(self._machine.apply_conntrack)
        for proxy in self.families:
            if self._synced.is_set() or not await self._machine.rules_present(proxy.family):
                proxy.proxier.synced()
            else:
                LOG.info("the rules of %s stay as they are until the cluster is listed", proxy.family.value)
                self._caught_up.stands(proxy.family, True)
        await self._synced.wait()
        for proxy in self.families:
            self._caught_up.stands(proxy.family, False)
            proxy.proxier.synced()
        await self.caught_up()
        if self._command.dry_run:
            stop.asked.set()
            return
        if any(proxy.proxier.policy.node.localhost_node_ports for proxy in self.families):
            # not before: the rules keep others on the network from reaching what listens on loopback
            await self._set(lambda: (self._machine.route_localnet(),))
        LOG.info(
            "rules are written: mode %s, %s",
            self.settings.mode,
            ", ".join(proxy.family.value for proxy in self.families),
        )
        try:
            await clean_up_others(self._machine, self.settings.mode, [proxy.family for proxy in self.families])
        except Exception:
            LOG.exception("a bug met while removing what other modes have left")
            self._bug()

    async def _wait_for_pod_cidrs(self) -> None:
        try:
            async with asyncio.timeout(POD_CIDR_PATIENCE):
                if not self._node_known.is_set():
                    LOG.info("waiting for the podCIDRs of Node %s", self.node_name)
                await self._node_known.wait()
        except TimeoutError:
            problem = f"Node {self.node_name} has no podCIDRs, which detectLocalMode NodeCIDR needs"
            raise ConfigError(
                problem, hint="give the controller manager --allocate-node-cidrs, or use ClusterCIDR"
            ) from None

    async def _set(self, sysctls: Callable[[], Iterable[str]]) -> None:
        """Settings of the kernel; what fails is a warning and an Event of our Node."""
        for problem in filter(None, await asyncio.to_thread(sysctls)):
            self._event(self._node_key, "Warning", "SysctlNotSet", problem)

    async def _keep(self, go: Callable[[], Awaitable[None]]) -> None:
        """Again and again; a bug ends one go and not the process."""
        while True:
            try:
                await go()
            except Exception:
                LOG.exception("a bug met beside the rules, which stay in force")
                self._bug()
                await asyncio.sleep(AFTER_A_BUG)

    async def _renew_later(self) -> None:
        """Addresses come and go without a word."""
        await asyncio.sleep(self.settings.sync_period)
        self.renew()

    def _bug(self) -> None:
        """One was met and survived."""
        self._watching.panics += 1

    async def _until_changed(self, stop: Stop) -> None:
        """A new configuration is read by a new process, which the DaemonSet starts."""
        if self._command.config:
            known = (self._command.config, self._command.config_text, read_kubeproxy)
            stop.fail(await until_changed(*known, every=self._config_every))

    def _left_out(self, service: ObjectKey, left_out: LeftOut) -> None:
        log_left_out(service, left_out)
        self._event(service, "Warning", left_out.reason, left_out.message)

    def _event(
        self, about: ObjectKey, kind: Literal["Normal", "Warning"], reason: str, message: str, action: str = ""
    ) -> None:
        if self._recorder is not None:
            self._recorder.event(about, kind, reason, message, action)
