"""The API server: whether we may follow what we must, and what does DNS and the proxy's work there now."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct, ValidationError, field
from msgspec.json import decode

from kdns.base.errors import ApiError, Denied
from kdns.config.settings import ServeSettings
from kdns.ops.scratch import scratch_folder
from kdns.preflight import dns
from kdns.preflight.model import Line, fail, note, ok, warn
from kdns.watch.api.client import RESOURCES, Api
from kdns.watch.source import Want

SYSTEM: Final = "/api/v1/namespaces/kube-system"
WORKLOADS: Final = (
    ("CoreDNS", "/apis/apps/v1/namespaces/kube-system/deployments/coredns"),
    ("kube-proxy", "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy"),
    ("NodeLocal DNSCache", "/apis/apps/v1/namespaces/kube-system/daemonsets/node-local-dns"),
)
FORBIDDEN: Final = "may not read"


class _ConfigMap(Struct):
    data: dict[str, str] = {}


class _ServiceSpec(Struct, rename="camel"):
    cluster_ip: str = field(default="", name="clusterIP")
    selector: dict[str, str] = {}


class _Service(Struct):
    spec: _ServiceSpec = field(default_factory=_ServiceSpec)


async def rights(api: Api, wanted: Iterable[Want]) -> list[Line]:
    """Whether every kind can be listed and watched."""
    wants = {want.kind: want for want in wanted}
    return await asyncio.gather(*(_right(api, want) for want in wants.values()))


async def _right(api: Api, want: Want) -> Line:
    plural = RESOURCES[want.kind].plural
    try:
        version, count = await api.newest(want)
        async with api.watch(want, since=version, seconds=1, skipped=lambda _: None):
            pass
    except Denied as error:
        if want.optional:
            return warn("rights", f"may not follow {plural} ({error}); kdns does without")
        return fail("rights", f"may not follow {plural}: {error}",
                    "compare ClusterRole and binding with manifests/*/rbac.yaml")  # fmt: skip
    except ApiError as error:
        if error.code == 404 and (want.optional or not want.installed):
            return ok("rights", f"this API server has no {plural}, which is all right")
        return fail("rights", f"cannot follow {plural}: {error}", "is the API server reachable from here?")
    return ok("rights", f"may list and watch {plural}{'' if count is None else f' ({count})'}")


async def installed(api: Api) -> list[Line]:
    """Which workloads do this work now."""
    lines: list[Line] = []
    for called, path in WORKLOADS:
        if await _read(api, path, lines) is not None:
            lines.append(note("installed", f"{called} ({path.rpartition('/')[2]} in kube-system)"))
    return lines


async def dns_service(api: Api) -> list[Line]:
    """Service kube-dns: its address, and whether it selects our Pods by the label that they have."""
    lines: list[Line] = []
    body = await _read(api, f"{SYSTEM}/services/kube-dns", lines)
    if body is None:
        return lines or [note("Service", "kube-system/kube-dns is not there; manifests/dns brings it",
                              "its clusterIP must be what the kubelets have as clusterDNS")]  # fmt: skip
    spec = decode(body, type=_Service).spec
    about = f"kube-system/kube-dns is {spec.cluster_ip}"
    if spec.selector.get("k8s-app") == "kube-dns":
        return [ok("Service", f"{about} and selects k8s-app: kube-dns, as our Pods have it")]
    todo = "our Pods have the label k8s-app: kube-dns; give them those labels, or patch the selector"
    return [warn("Service", f"{about} and selects {spec.selector or 'nothing'}", todo)]


async def coredns_corefile(api: Api) -> list[Line]:
    """What kdns says of the Corefile that CoreDNS has in the cluster."""
    lines: list[Line] = []
    body = await _read(api, f"{SYSTEM}/configmaps/coredns", lines)
    if body is None:
        return lines
    try:
        text = decode(body, type=_ConfigMap).data.get("Corefile", "")
    except ValidationError as error:
        return [
            fail(
                "Corefile",
                f"ConfigMap coredns cannot be read: {error}",
                "kubectl -n kube-system get cm coredns -o yaml",
            )
        ]
    with scratch_folder() as folder:
        path = Path(folder) / "Corefile"
        path.write_text(text)
        loaded, _ = await asyncio.to_thread(dns.corefile, ServeSettings(corefile=str(path)), "ConfigMap coredns")
    return loaded


async def _read(api: Api, path: str, lines: list[Line]) -> bytes | None:
    """An object; None if it is not there or not ours to see, which is a line then."""
    try:
        return await api.read(path, denied=FORBIDDEN)
    except Denied:
        what = "/".join(path.rsplit("/", 2)[-2:])
        lines.append(
            note("installed", f"{what}: not ours to read", "look with kubectl, or run this with your kubeconfig")
        )
    except ApiError as error:
        if error.code != 404:
            lines.append(warn("installed", f"{path}: {error}"))
    return None
