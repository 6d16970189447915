"""Which resource a path is about, what every client may discover, and replies in JSON."""

import json
import re

from aiohttp import web

from kdns.lab.cluster_state import RESOURCES, Json, Resource
from kdns.lab.refusal import Refusal


def find_resource(path: str) -> tuple[Resource, str, str] | None:
    """The resource, namespace and name in a path; None if it is about no resource we know."""
    for resource in RESOURCES:
        if not path.startswith(resource.prefix + "/"):
            continue
        match path.removeprefix(resource.prefix + "/").split("/"):
            case [resource.plural]:
                return resource, "", ""
            case ["namespaces", namespace, resource.plural] if resource.namespaced:
                return resource, namespace, ""
            case ["namespaces", namespace, resource.plural, name] if resource.namespaced:
                return resource, namespace, name
            case [resource.plural, name] if not resource.namespaced:
                return resource, "", name
    return None


def discovery(path: str) -> web.Response:
    """Versions, groups and resources, which every client may read (system:discovery)."""
    groups = sorted({(resource.group, resource.version) for resource in RESOURCES if resource.group})
    if path in ("/livez", "/readyz", "/healthz"):
        return web.Response(text="ok")
    if path == "/version":
        return json_reply({"major": "1", "minor": "33", "gitVersion": "v1.33.0"})
    if path == "/api":
        return json_reply({"kind": "APIVersions", "versions": ["v1"]})
    if path == "/apis":
        listed = [_group(group, version) for group, version in groups]
        return json_reply({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})
    for resource in RESOURCES:
        if path == resource.prefix:
            return json_reply(
                {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": resource.api_version,
                    "resources": [
                        {
                            "name": other.plural,
                            "singularName": other.kind.lower(),
                            "namespaced": other.namespaced,
                            "kind": other.kind,
                            "verbs": ["get", "list", "watch"],
                        }
                        for other in RESOURCES
                        if other.prefix == path
                    ],
                }
            )
    return refusal_reply(Refusal(404, "NotFound", "the server could not find the requested resource"))


def _group(group: str, version: str) -> Json:
    only = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [only], "preferredVersion": only}


def invalid_event(namespace: str, body: Json) -> str:
    """What the server finds wrong with an Event (k8s.io/kubernetes pkg/apis/core/validation/events.go); else empty."""
    for field, limit in (("reason", 128), ("action", 128), ("reportingController", 128), ("reportingInstance", 128)):
        if not 0 < len(str(body.get(field) or "")) <= limit:
            return f"{field}: must be set, and have at most {limit} characters"
    if body.get("type") not in {"Normal", "Warning"}:
        return "type: must be Normal or Warning"
    if len(str(body.get("note") or "")) > 1024:
        return "note: can have at most 1024 characters"
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(body.get("eventTime"))):
        return "eventTime: must be a time with microseconds"
    if not re.fullmatch(r"(?=.{1,253}$)[a-z0-9]([-.a-z0-9]*[a-z0-9])?", str(body["metadata"].get("name"))):
        return "metadata.name: must be a subdomain"
    about = (body.get("regarding") or {}).get("namespace") or "default"
    return "" if about == namespace else f"regarding.namespace: {about} is not {namespace}"


def json_reply(body: bytes | Json) -> web.Response:
    """JSON as the server sends it, also to those who would rather have protobuf."""
    return web.Response(
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )


def refusal_reply(refusal: Refusal) -> web.Response:
    """A refusal with its Status object and headers."""
    response = json_reply(refusal.status())
    response.set_status(refusal.code)
    if refusal.retry_after is not None:
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response
