"""The kubelets of a lab: they run what is in Pods, ask whether it is ready, and start again what has ended.

A container whose image is called ``kdns`` is our own program with the container's ``args``. Any other one is a tiny
server on each of its ``ports`` (see `kdns.lab.serving`), or nothing if it has none, which is enough for a client.
"""

import http.client
import logging
import re
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kdns.base.errors import ConfigError
from kdns.lab.fetching import fetch
from kdns.lab.network import Network
from kdns.lab.plan import Pair
from kdns.lab.processes import Process
from kdns.lab.serving import Serving
from kdns.lab.tools import KDNS
from kdns.lab.workloads import READY_ANNOTATION, Key, key_of

LOG = logging.getLogger(__name__)

Json = dict[str, Any]
ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
HINT: Final = ("-w", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT")
"""What a kubelet does with its iptables, for those who look which variant it has."""
PAUSE: Final = 0.5
"""Seconds until a program that has ended is started again."""
GRACE: Final = 5.0
"""Seconds that programs get after SIGTERM when the Pod does not say (terminationGracePeriodSeconds)."""
_VARIABLE: Final = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


class RunningPod:
    """A Pod on a node: its part, its programs and its tiny servers."""

    def __init__(self, pod: Json, part: str, addresses: Pair) -> None:
        self.pod, self.part, self.addresses = pod, part, addresses
        self.servings: list[Serving] = []
        self.programs: dict[str, Process] = {}
        self.ended: dict[str, float] = {}
        """When a program was first seen to have ended (monotonic seconds)."""
        self.answers = False
        """Whether its readiness probes were answered the last time."""
        self.restarts = 0
        self.until: float | None = None
        """While it terminates: when it is killed."""


class Kubelet:
    """All nodes' kubelets. Not for several threads at once."""

    def __init__(self, network: Network, environ: Mapping[str, str], account: Mapping[str, bytes]) -> None:
        """``environ`` and the files of the service ``account`` are what every Pod gets."""
        self.network, self._environ, self._account = network, environ, account
        self.running: dict[Key, RunningPod] = {}

    def hint(self, node: str, variant: str) -> None:
        """Say which variant of iptables a node has: ``nft`` or ``legacy``. ConfigError if it does not work here."""
        for program in (f"iptables-{variant}", f"ip6tables-{variant}"):
            done = self.network.run(node, (program, *HINT))
            if done.returncode:
                raise ConfigError(
                    f"{program} does not work with this kernel: {done.stderr.strip()}", hint="choose another --mode"
                )

    def start(
        self, pod: Json, part: str, addresses: Pair, resolv_conf: str, volumes: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Run a Pod in a part that is there. ``volumes``: name -> file -> content (ConfigMaps)."""
        started = RunningPod(pod, part, addresses)
        (self.network.folder / part / "resolv.conf").write_text(resolv_conf)
        files = {f"{ACCOUNT}/{name}": content for name, content in self._account.items()}
        containers = [spec for spec in pod["spec"].get("containers") or () if isinstance(spec, dict)]
        for container in filter(_program, containers):
            for mounted in container.get("volumeMounts") or ():
                path = str(mounted["mountPath"])
                if not path.startswith("/run/") and volumes.get(mounted["name"]):
                    LOG.warning("%s: nothing is mounted at %s: only /run is a part's own", part, path)
                    continue
                for name, text in volumes.get(mounted["name"], {}).items():
                    files[f"{path}/{name}"] = text.encode()
        self.network.write(part, files)
        self.running[key_of(pod)] = started
        served: set[tuple[int, str]] = set()
        for container in containers:
            if _program(container):
                self._run(started, container)
            else:
                self._serve(started, container, served)

    def look(self) -> None:
        """Start again what has ended a moment ago, in Pods that do not terminate."""
        now = time.monotonic()
        for running in self.running.values():
            if running.until is not None:
                continue
            for container in running.pod["spec"].get("containers") or ():
                program = running.programs.get(container.get("name", ""))
                if program is None or program.status is None:
                    continue
                since = running.ended.setdefault(container["name"], now)
                if now - since >= PAUSE:
                    LOG.info("%s/%s ended with %s, again", running.part, container["name"], program.status)
                    running.restarts += 1
                    self._run(running, container)

    def probe(self) -> None:
        """Ask every Pod that has readiness probes. This waits, and may be done while Pods come and go."""
        for running in tuple(self.running.values()):
            probes = list(_probes(running.pod))
            running.answers = all(self._asks(running, probe) for probe in probes)

    def is_ready(self, pod: Json) -> bool:
        """Whether everything in a Pod runs and answered so when it was asked; a Pod that is marked not ready is not."""
        running = self.running[key_of(pod)]
        if (pod["metadata"].get("annotations") or {}).get(READY_ANNOTATION) == "false":
            return False
        if any(program.status is not None for program in running.programs.values()):
            return False
        return running.answers or not any(_probes(running.pod))

    def end(self, pod: Json) -> bool:
        """Begin or go on to end a Pod; True once nothing of it runs. Tiny servers serve until the grace is over."""
        running = self.running[key_of(pod)]
        now = time.monotonic()
        if running.until is None:
            grace = running.pod["spec"].get("terminationGracePeriodSeconds", GRACE)
            running.until = now + float(grace)
            for program in running.programs.values():
                program.send(signal.SIGTERM)
        alive = [program for program in running.programs.values() if program.status is None]
        if now < running.until and (alive or running.servings):
            return False
        for program in alive:
            program.stop(signal.SIGKILL)
        self.kill(key_of(pod))
        return True

    def kill(self, key: Key) -> None:
        """End a Pod at once."""
        running = self.running.pop(key)
        for program in running.programs.values():
            if program.status is None:
                program.stop(signal.SIGKILL)
        for serving in running.servings:
            serving.close()

    def _serve(self, running: RunningPod, container: Json, served: set[tuple[int, str]]) -> None:
        """Tiny servers for a container's ports, those that no other container of the Pod has; noted in ``served``."""
        name = running.pod["metadata"]["name"]
        for port in container.get("ports") or ():
            number = port.get("containerPort")
            said = port.get("protocol")
            for protocol in (said,) if said else ("TCP", "UDP"):
                if not number or (number, protocol) in served:
                    continue
                served.add((number, protocol))
                try:
                    serving = self.network.serve(
                        running.part, number, (protocol,), name=name, addresses=running.addresses
                    )
                except (OSError, KeyError) as error:  # taken on its node, or a protocol that this kernel has not
                    LOG.warning("%s: nothing serves port %s/%s: %s", running.part, number, protocol, error)
                else:
                    running.servings.append(serving)

    def _run(self, running: RunningPod, container: Json) -> None:
        running.ended.pop(container["name"], None)
        running.answers = False
        environ = {**self._environ, **dict(_variables(running.pod, container))}
        words = [
            _VARIABLE.sub(lambda variable: environ.get(variable[1], variable[0]), word) for word in _words(container)
        ]
        argv = (*KDNS, *words)
        running.programs[container["name"]] = self.network.start(running.part, argv, environ, container["name"])

    def _asks(self, running: RunningPod, probe: Mapping[str, Any]) -> bool:
        """An HTTP probe, from the Pod's node."""
        address = str(probe.get("host") or running.addresses[0])
        node = running.pod["spec"]["nodeName"]
        network = self.network.parts[node].network
        try:
            status, _ = fetch(network, address, int(probe["port"]), str(probe.get("path", "/")))
        except (OSError, http.client.HTTPException):
            return False
        return 200 <= status < 400


def runs_programs(pod: Json) -> bool:
    """Whether there is more in a Pod than tiny servers."""
    return any(_program(container) for container in pod["spec"].get("containers") or ())


def program_words(pod: Json) -> list[str]:
    """The args of a Pod's first program; empty if it has none."""
    return next((_words(container) for container in filter(_program, pod["spec"].get("containers") or ())), [])


def _words(container: Mapping[str, Any]) -> list[str]:
    """What kdns is run with: the container's args."""
    return [str(word) for word in container.get("args") or ()]


def _program(container: Mapping[str, Any]) -> bool:
    """Whether an image is ours: registry and tag do not matter."""
    return str(container.get("image", "")).rpartition("/")[2].partition(":")[0] == "kdns"


def _probes(pod: Json) -> Iterator[Json]:
    """The HTTP readiness probes of a Pod's programs, with numbers for ports; tiny servers are ready at once."""
    for container in filter(_program, pod["spec"].get("containers") or ()):
        if probe := (container.get("readinessProbe") or {}).get("httpGet"):
            names = {port.get("name"): port.get("containerPort") for port in container.get("ports") or ()}
            yield {**probe, "port": names.get(probe["port"], probe["port"])}


def _variables(pod: Json, container: Json) -> Iterator[tuple[str, str]]:
    """A container's ``env``; of ``valueFrom`` only fields of the Pod."""
    for entry in container.get("env") or ():
        path = ((entry.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath")
        value: Any = entry.get("value", "")
        if path:
            value = pod
            for step in path.split("."):
                value = value.get(step, {})
        yield entry["name"], str(value)
