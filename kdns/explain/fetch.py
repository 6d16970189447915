"""Objects of a live API server, whole: each kind in one Namespace or in all, page by page. The edge.

Nothing else is asked for: never a Secret, of ConfigMaps only those of DNS and the Service proxy, by name.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from msgspec import Struct, ValidationError, field
from msgspec.json import Decoder, encode

from kdns.base.errors import ApiError, ConfigError, Denied
from kdns.config.source import Manifests, parse_source
from kdns.explain.bundle import FILE_LIMIT, Raw
from kdns.watch.api.client import Api, Resource, open_session
from kdns.watch.api.cluster import load_credentials
from kdns.watch.api.failures import reason_of

PAGE: Final = 500
"""Objects of a page, as kubectl asks for them."""
SILENCE: Final = 20.0
"""Seconds without an octet after which a list is given up."""
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
LOG_LINES: Final = 5000
"""The last lines of a DNS Pod's log."""
LOG_LIMIT: Final = 4 << 20
"""Octets of such a log."""
SYSTEM: Final = "kube-system"


class Listed(NamedTuple):
    """A kind that is read."""

    kind: str
    resource: Resource
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """``discovery.k8s.io/v1``; of the core group ``v1``. Objects of a list do not say it themselves."""
        return "/".join(part for part in self.resource[:2] if part)


NAMESPACE: Final = Listed("Namespace", Resource("", "v1", "namespaces"), False)
NODE: Final = Listed("Node", Resource("", "v1", "nodes"), False)
SERVICE: Final = Listed("Service", Resource("", "v1", "services"))
SLICE: Final = Listed("EndpointSlice", Resource("discovery.k8s.io", "v1", "endpointslices"))
POD: Final = Listed("Pod", Resource("", "v1", "pods"))
POLICY: Final = Listed("NetworkPolicy", Resource("networking.k8s.io", "v1", "networkpolicies"))
CIDR: Final = Listed("ServiceCIDR", Resource("networking.k8s.io", "v1", "servicecidrs"), False)
WORKLOADS: Final = tuple(
    Listed(kind, Resource("apps", "v1", plural))
    for kind, plural in (
        ("Deployment", "deployments"), ("DaemonSet", "daemonsets"), ("StatefulSet", "statefulsets"),
        ("ReplicaSet", "replicasets"),
    )
)  # fmt: skip
CONFIG_MAP: Final = Listed("ConfigMap", Resource("", "v1", "configmaps"))
EVERYTHING: Final = (NAMESPACE, NODE, CIDR, SERVICE, SLICE, POD, POLICY, *WORKLOADS)
"""All that `kdns collect` lists."""
CONFIG_MAPS: Final = ("coredns", "kdns", "kube-proxy", "kdns-proxy", "kdns-node")
"""In kube-system, read by name; those that are not there are passed over."""


class Fetched(Struct):
    """What an API server gave."""

    raws: list[Raw] = field(default_factory=list)
    """A file of JSON for each kind and Namespace."""
    forbidden: list[str] = field(default_factory=list)
    """Kinds that we may not list, with the Namespace if it was asked for alone."""
    problems: list[str] = field(default_factory=list)

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        """The objects of a kind."""
        bodies: list[dict[str, Any]] = []
        for raw in self.raws:
            bodies += [body for body in _LIST.decode(raw.data).items if body.get("kind") == kind]
        return bodies


class _Metadata(Struct, rename="camel"):
    continue_: str | None = field(default=None, name="continue")


class _Page(Struct):
    metadata: _Metadata | None = None
    items: list[dict[str, Any]] | None = None


class _List(Struct):
    items: list[dict[str, Any]] = []


_PAGE: Final = Decoder(_Page)
_LIST: Final = Decoder(_List)
_BODY: Final = Decoder(dict[str, Any])


@asynccontextmanager
async def open_api(source: str) -> AsyncIterator[Api]:
    """The API server of a ``--source``. Raises ConfigError for manifests and for credentials that cannot be read."""
    spec = parse_source(source)
    if isinstance(spec, Manifests):
        raise ConfigError(f"--source: {source!r} is no API server", hint="cluster, or kubeconfig[:PATH[@CONTEXT]]")
    credentials = await load_credentials(spec)
    async with open_session() as session:
        yield Api(session, credentials, watch_timeout=SILENCE)


async def fetch(api: Api, wanted: Iterable[tuple[Listed, str]]) -> Fetched:
    """Every kind, each in a Namespace or (empty) in all, at the same time."""
    fetched = Fetched()
    await asyncio.gather(*(_fetch_one(api, listed, namespace, fetched) for listed, namespace in wanted))
    if not fetched.raws:
        why = next(iter((*fetched.problems, *fetched.forbidden)), "it has no objects")
        raise ConfigError(f"--source: nothing can be read from the API server: {why}")
    fetched.raws.sort()
    return fetched


async def _fetch_one(api: Api, listed: Listed, namespace: str, fetched: Fetched) -> None:
    plural = listed.resource.plural
    about = f"{plural} in Namespace {namespace}" if namespace else plural
    try:
        bodies = await _bodies(api, listed, namespace)
    except Denied:
        fetched.forbidden.append(about)
        return
    except ApiError as error:
        if error.code != 404:  # a kind that this API server does not have
            fetched.problems.append(f"{about}: {reason_of(error)}")
        return
    name = f"{plural}-{namespace}.json" if namespace else f"{plural}.json"
    fetched.raws += _files(name, bodies)


async def _bodies(api: Api, listed: Listed, namespace: str) -> list[dict[str, Any]]:
    query = {"limit": str(PAGE)}
    bodies: list[dict[str, Any]] = []
    path, denied = listed.resource.path_in(namespace), f"may not list {listed.resource.plural}"
    while True:
        try:
            page = _PAGE.decode(await api.read(path, query, denied=denied))
        except (ValidationError, ValueError) as error:
            raise ApiError(0, "garbage", f"{path} is not a list: {error}") from error
        bodies += [cleaned(body, listed) for body in page.items or ()]
        token = page.metadata.continue_ if page.metadata else None
        if not token:
            return bodies
        query["continue"] = token


async def fetch_config_maps(api: Api, fetched: Fetched, names: Sequence[str] = CONFIG_MAPS) -> None:
    """The ConfigMaps of DNS and the proxy, each by its name, at the same time."""
    read = await asyncio.gather(*(_config_map(api, name, fetched) for name in names))
    if bodies := [body for body in read if body is not None]:
        fetched.raws += _files("configmaps.json", bodies)


async def _config_map(api: Api, name: str, fetched: Fetched) -> dict[str, Any] | None:
    """None: it is not there, or cannot be read."""
    path, about = f"{CONFIG_MAP.resource.path_in(SYSTEM)}/{name}", f"ConfigMap {SYSTEM}/{name}"
    try:
        return cleaned(_BODY.decode(await api.read(path, denied=f"may not get configmaps {name}")), CONFIG_MAP)
    except Denied:
        fetched.forbidden.append(about)
    except ApiError as error:
        if error.code != 404:
            fetched.problems.append(f"{about}: {error}")
    except (ValidationError, ValueError) as error:
        fetched.problems.append(f"{about}: {error}")
    return None


async def fetch_logs(api: Api, pods: Iterable[tuple[str, str]], fetched: Fetched) -> list[Raw]:
    """The end of the log of each Pod, by Namespace and name."""
    logs: list[Raw] = []
    for namespace, name in pods:
        query = {"tailLines": str(LOG_LINES), "limitBytes": str(LOG_LIMIT)}
        path = f"{POD.resource.path_in(namespace)}/{name}/log"
        try:
            data = await api.read(path, query, denied="may not get pods/log")
        except ApiError as error:
            fetched.problems.append(f"the log of Pod {namespace}/{name}: {reason_of(error)}")
            data = f"error: {reason_of(error)}\n".encode()
        logs.append(Raw(f"dns/{name}/log.txt", data))
    return logs


def cleaned(body: Mapping[str, Any], listed: Listed) -> dict[str, Any]:
    """An object with its kind, without what no explanation needs and what may be secret.

    Taken out: the annotation last-applied-configuration, managedFields, and the environment of containers (passwords
    are written there), but for kube-system, where a Corefile may read it.
    """
    metadata = dict(body.get("metadata") or {})
    metadata.pop("managedFields", None)
    annotations = {key: text for key, text in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
    metadata = {key: value for key, value in metadata.items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    made = {**body, "apiVersion": listed.api_version, "kind": listed.kind, "metadata": metadata}
    if metadata.get("namespace") != SYSTEM and (listed is POD or listed in WORKLOADS):
        made["spec"] = _without_environments(made.get("spec"))
    return made


def _without_environments(spec: Any) -> Any:
    """The spec of a Pod or a workload, its containers without ``env`` and ``envFrom``."""
    if not isinstance(spec, dict):
        return spec
    made = dict(spec)
    for key in ("containers", "initContainers", "ephemeralContainers"):
        made |= {key: [_without_environment(one) for one in spec[key]]} if isinstance(spec.get(key), list) else {}
    if isinstance(template := spec.get("template"), dict):
        made["template"] = {**template, "spec": _without_environments(template.get("spec"))}
    return made


def _without_environment(container: Any) -> Any:
    if not isinstance(container, dict):
        return container
    return {key: value for key, value in container.items() if key not in {"env", "envFrom"}}


def _files(name: str, bodies: list[dict[str, Any]]) -> list[Raw]:
    """The objects as a List; as several, where one would be too large to be read."""
    data = encode({"apiVersion": "v1", "kind": "List", "items": bodies})
    if len(data) <= FILE_LIMIT or len(bodies) < 2:
        return [Raw(name, data)]
    half, stem = len(bodies) // 2, name.removesuffix(".json")
    return [*_files(f"{stem}-1.json", bodies[:half]), *_files(f"{stem}-2.json", bodies[half:])]
