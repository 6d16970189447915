"""Which DNS server the cluster runs, and the Corefile it was given. Pure."""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, NamedTuple

from kdns.config.corefile import Text
from kdns.explain.evidence import TextFile
from kdns.explain.model import Item
from kdns.explain.objects import Body, Objects, field, key_of

NAMESPACE: Final = "kube-system"
SERVICE: Final = "kube-dns"
"""The name that every distribution gives to the Service of cluster DNS, whichever server runs."""
CONFIG_MAPS: Final = ("coredns", "kdns")
"""Where a Corefile is if no Deployment says so."""
WORKLOADS: Final = ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Pod")

Software = Literal["CoreDNS", "kdns", ""]


class Server(NamedTuple):
    """The DNS server that answers at the nameserver's address."""

    software: Software = ""
    """Empty: it is not known; then it is taken for CoreDNS's Corefile, and kdns's answers are given."""
    workload: Body | None = None
    """The Deployment, DaemonSet or Pod that says so."""
    image: str = ""


class CorefileSource(NamedTuple):
    """A Corefile, where it is from, and the files it may import."""

    file: TextFile
    text: Text
    """With the path that the server sees: what relative paths start from."""
    environ: Mapping[str, str]
    config_map: Body | None = None
    mounted: Sequence[Text] = ()
    """Files of the ConfigMaps that are mounted beside it."""

    def read(self, pattern: str) -> Sequence[Text]:
        """The files that an ``import`` names; none if they are not in the evidence."""
        return [text for text in self.mounted if fnmatchcase(text.name, pattern)]

    def item(self, line: int = 0) -> Item:
        """A line of it, as evidence."""
        lines = self.file.text.splitlines()
        text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        if self.config_map is None:
            return Item(file=self.file.path, line=line, text=text)
        return Item(
            object=str(key_of(self.config_map)), field="data.Corefile", text=f"line {line}: {text}" if line else ""
        )


def find_server(objects: Objects, service: Body | None) -> Server:
    """The workload whose Pods a Service selects, or the one of the usual name; and which software its image is."""
    selector = field(service, "spec.selector", {}) if service is not None else {}
    for workload in _workloads(objects):
        labels = field(workload, "spec.template.metadata.labels") or field(workload, "metadata.labels", {})
        if selector and all(labels.get(key) == value for key, value in selector.items()):
            image = next((container.get("image", "") for container in _containers(workload)), "")
            return Server(_software(workload), workload, image)
    return Server()


def dns_service(objects: Objects, address: str = "") -> Body | None:
    """The Service of a nameserver's address; without one, the Service of the usual name."""
    if not address:
        return objects.get("Service", NAMESPACE, SERVICE)
    for body in objects.all("Service"):
        if address in (field(body, "spec.clusterIPs") or [field(body, "spec.clusterIP", "")]):
            return body
    return None


def find_corefile(objects: Objects, given: TextFile | None, server: Server) -> CorefileSource | None:
    """The Corefile that was given, or else the one that the server's Pods mount."""
    path, environ, mounted, config_map = _mounted(objects, server)
    if given is not None:
        kind, _, rest = given.path.partition("/")
        body = objects.get(kind, *rest.split("/", 1)) if kind == "ConfigMap" and "/" in rest else None
        return CorefileSource(given, Text(path, given.text), environ, body, mounted)
    if config_map is None:
        return None
    data = field(config_map, "data", {})
    name = "Corefile" if "Corefile" in data else posixpath.basename(path)
    if name not in data:
        return None
    file = TextFile(str(key_of(config_map)), str(data[name]))
    return CorefileSource(file, Text(path, file.text), environ, config_map, mounted)


def _mounted(objects: Objects, server: Server) -> tuple[str, dict[str, str], list[Text], Body | None]:
    """The path of the Corefile, the environment, the files beside it, and its ConfigMap."""
    path, environ, texts = "/etc/coredns/Corefile", dict[str, str](), list[Text]()
    main: Body | None = None
    workload = server.workload
    if workload is not None:
        volumes = {volume.get("name"): volume for volume in field(_pod_spec(workload), "volumes", [])}
        for container in _containers(workload)[:1]:
            path = _conf_argument(container) or path
            environ = {one["name"]: str(one["value"]) for one in container.get("env") or () if "value" in one}
            for mount in container.get("volumeMounts") or ():
                for name, config_map in _config_maps(objects, volumes.get(mount.get("name")) or {}):
                    file = posixpath.join(mount.get("mountPath", ""), name)
                    texts.append(Text(file, str(field(config_map, "data", {}).get(name, ""))))
                    main = config_map if file == path else main
    if main is None:
        candidates = (objects.get("ConfigMap", NAMESPACE, name) for name in CONFIG_MAPS)
        main = next((body for body in candidates if body is not None and "Corefile" in field(body, "data", {})), None)
    return path, environ, texts, main


def _config_maps(objects: Objects, volume: Mapping[str, Any]) -> Iterator[tuple[str, Body]]:
    """The files that a volume holds, by name, and the ConfigMap each is from."""
    sources = [volume, *(field(volume, "projected.sources", []))]
    for source in sources:
        reference = source.get("configMap")
        body = objects.get("ConfigMap", NAMESPACE, reference.get("name", "")) if reference else None
        if body is not None:
            for name in field(body, "data", {}):
                yield name, body


def _conf_argument(container: Mapping[str, Any]) -> str:
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    for at, word in enumerate(words):
        flag, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and flag == "conf":
            return value if equals else (words[at + 1] if at + 1 < len(words) else "")
    return ""


def _software(workload: Body) -> Software:
    containers = _containers(workload)
    words = " ".join(
        str(word)
        for container in containers
        for word in (container.get("image", ""), *(container.get("command") or ()))
    )
    names = {part.partition(":")[0].partition("@")[0] for word in words.split() for part in word.split("/")}
    if any(name.startswith("kdns") for name in names):
        return "kdns"
    if any("coredns" in name for name in names):
        return "CoreDNS"
    return ""


def _workloads(objects: Objects) -> Iterator[Body]:
    for kind in WORKLOADS:
        yield from objects.all(kind)


def _pod_spec(workload: Body) -> Body:
    spec: Body = field(workload, "spec.template.spec") or field(workload, "spec", {})
    return spec


def _containers(workload: Body) -> list[Mapping[str, Any]]:
    return list(field(_pod_spec(workload), "containers", []))
