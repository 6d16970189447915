"""The ground of a lab: its parts with their links, made in under a second and gone with their maker.

::

    with Network(Plan(pods=(plan.pod("web", "10.244.0.5"),))) as network:
        network.serve("web", 9376)
        assert await network.probe("outside", "TCP", "10.244.0.5", 9376) == Arrived(...)
        print(network.run("node-0", ["ip", "route"]).stdout)
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kdns.lab import asking, wiring
from kdns.lab import namespaces as kernel
from kdns.lab.asking import PATIENCE, Flow, Outcome, Refused, Silence, Unreachable
from kdns.lab.background import Background
from kdns.lab.labs import write_state
from kdns.lab.plan import CLIENT, LINK, OUTSIDE, PLAN, SWITCH, Address, Node, Pair, Plan, Pod
from kdns.lab.processes import Part, Process, Processes
from kdns.lab.serving import Servers, Serving
from kdns.lab.tools import require


class Network:
    """Namespaces with links between them, by the name of their part: nodes, Pods, ``outside`` and ``switch``."""

    def __init__(self, plan: Plan = PLAN, name: str = "", programs: Iterable[str] = (), kept: bool = False) -> None:
        """Make it. ConfigError without root, or without one of the programs that it (`ip`) or its user needs.

        ``kept``: by a process that has nothing else to do, see `kdns.lab.labs`.
        """
        require(("ip", *programs))
        self.plan = plan
        self.name = name or f"kdns-{os.getpid()}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"kdns-{os.getpid()}-lab-"))
        self.parts: dict[str, Part] = {}
        self._kept, self._pages = kept, ""
        self.pods: dict[str, Pod] = {}
        try:
            self._processes = Processes(self.folder)
            self.background = Background()
            self._servers = Servers(self.background)
            self._make()
            self._note()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End its processes, and forget its namespaces and files."""
        if hasattr(self, "_servers"):
            self._servers.close()
            self.background.close()
        if hasattr(self, "_processes"):
            self._processes.close()
            for part in self.parts.values():
                self._processes.forget(part)
            self.parts.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def add_pod(self, pod: Pod) -> Part:
        """Add a Pod with a network of its own."""
        added = self._add_pods((pod,))[0]
        self._note()
        return added

    def remove(self, name: str) -> None:
        """Forget a Pod, with its link, or a guest. Its processes are the caller's to stop."""
        if pod := self.pods.pop(name, None):
            self._processes.batch(self.parts[pod.node], (f"link delete {pod.link}",))
        self._processes.forget(self.parts.pop(name))
        shutil.rmtree(self.folder / name)
        self._note()

    def add_guest(self, name: str, node: str) -> Part:
        """A part that shares a node's network, with files of its own: a Pod with hostNetwork."""
        self.parts[name] = self._processes.part(name, {}, self.parts[node])
        self._note()
        return self.parts[name]

    def send_outside_through(self, node: str) -> None:
        """From now on the outside client reaches Services, external and load balancer IPs through this node."""
        self._processes.batch(self.parts[OUTSIDE], wiring.ways(self.plan.node(node)))

    def configure(self, part: str, lines: Iterable[str]) -> None:
        """Run lines of `ip` (without the word) in a part's network: more addresses, links or routes."""
        self._processes.batch(self.parts[part], lines)
        kernel.settle(self.parts[part].network)

    def write(self, part: str, files: Mapping[str, bytes]) -> None:
        """Write files below a part's own /run, see `Processes.write`."""
        self._processes.write(self.parts[part], files)

    def start(
        self, part: str, argv: Sequence[str], environ: Mapping[str, str] | None = None, name: str = ""
    ) -> Process:
        """Start a program in a part, see `Processes.start`."""
        return self._processes.start(self.parts[part], argv, environ, name)

    def run(
        self,
        part: str,
        argv: Sequence[str],
        environ: Mapping[str, str] | None = None,
        text: str = "",
        patience: float = 30.0,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program in a part to its end, see `Processes.run`."""
        return self._processes.run(self.parts[part], argv, environ, text, patience)

    def addresses(self, part: str) -> Pair:
        """Where a part is reached: a Pod's, a node's or the outside client's own addresses."""
        if part in self.pods:
            return self.pods[part].addresses
        return CLIENT if part == OUTSIDE else self.plan.node(part).addresses

    def serve(
        self,
        part: str,
        port: int = 9376,
        protocols: Iterable[str] = ("TCP", "UDP"),
        *,
        name: str = "",
        addresses: Iterable[Address] = (),
    ) -> Serving:
        """Answer on a port of a part's own addresses (or others that it has), with its name or another one.

        What is answered: `kdns.lab.serving`.
        """
        network = self.parts[part].network
        return self._servers.serve(network, name or part, addresses or self.addresses(part), port, tuple(protocols))

    async def probe(
        self,
        part: str,
        protocol: str,
        address: str,
        port: int,
        *,
        source: str = "",
        source_port: int = 0,
        timeout: float = PATIENCE,  # noqa: ASYNC109
    ) -> Outcome:
        """Ask once from a part, see `kdns.lab.asking.probe`."""
        network = self.parts[part].network
        return await asking.probe(
            network, protocol, address, port, source=source, source_port=source_port, timeout=timeout
        )

    async def open_flow(
        self,
        part: str,
        protocol: str,
        address: str,
        port: int,
        *,
        source: str = "",
        source_port: int = 0,
        timeout: float = PATIENCE,  # noqa: ASYNC109
    ) -> Flow | Refused | Silence | Unreachable:
        """A connection (or UDP socket) from a part that stays, see `kdns.lab.asking.open_flow`."""
        network = self.parts[part].network
        return await asking.open_flow(
            network, protocol, address, port, source=source, source_port=source_port, timeout=timeout
        )

    @property
    def first(self) -> int:
        """The process that all processes of the lab end with."""
        return self._processes.first

    def tell_pages(self, url: str) -> None:
        """Say in the state file where the lab's status pages are."""
        self._pages = url
        self._note()

    def _note(self) -> None:
        """Write our parts down for other processes."""
        write_state(self.folder, self.name, self._processes, self.parts, self._kept, self._pages)

    def _make(self) -> None:
        plan = self.plan
        for name in (SWITCH, *(node.name for node in plan.nodes)):
            self.parts[name] = self._processes.part(name, wiring.ROUTING)
        self.parts[OUTSIDE] = self._processes.part(OUTSIDE, wiring.PLAIN)
        self._processes.batch(self.parts[SWITCH], wiring.switch(plan, self._paths()))
        for node in plan.nodes:
            self._processes.batch(self.parts[node.name], wiring.node(node))
        self._processes.batch(self.parts[OUTSIDE], wiring.outside(plan))
        kernel.settle(self.parts[SWITCH].network, wiring.switch_links(plan))
        for name in (*(node.name for node in plan.nodes), OUTSIDE):
            kernel.settle(self.parts[name].network, (LINK,))
        self._add_pods(plan.pods)

    def _add_pods(self, pods: Sequence[Pod]) -> list[Part]:
        for pod in pods:
            self.parts[pod.name] = self._processes.part(pod.name, wiring.PLAIN)
            self.pods[pod.name] = pod
        paths = self._paths()
        for node in self.plan.nodes:
            if lines := list(self._veths(node, pods, paths)):
                self._processes.batch(self.parts[node.name], lines)
        for pod in pods:
            self._processes.batch(self.parts[pod.name], wiring.pod(pod, self.plan.node(pod.node).gateway))
        for pod in pods:
            kernel.settle(self.parts[pod.node].network, (pod.link,))
            kernel.settle(self.parts[pod.name].network, (LINK,))
        return [self.parts[pod.name] for pod in pods]

    def _veths(self, node: Node, pods: Iterable[Pod], paths: Mapping[str, str]) -> Iterable[str]:
        for pod in pods:
            if pod.node == node.name:
                yield from wiring.pod_on_node(pod, node.gateway, paths[pod.name])

    def _paths(self) -> dict[str, str]:
        return {name: f"/proc/{os.getpid()}/fd/{part.network}" for name, part in self.parts.items()}
