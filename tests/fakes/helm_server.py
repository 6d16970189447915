"""As much of an API server as `helm install --dry-run` asks: its version, which kinds there are, and single objects."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

Json = dict[str, Any]
KINDS: Final = {
    "/api/v1": ("ConfigMap", "Secret", "Service", "ServiceAccount"),
    "/apis/apps/v1": ("DaemonSet", "Deployment"),
    "/apis/policy/v1": ("PodDisruptionBudget",),
    "/apis/rbac.authorization.k8s.io/v1": ("ClusterRole", "ClusterRoleBinding"),
}
"""By the path of their group and version."""


def _discovery() -> dict[str, Json]:
    """The documents by which a client learns which kinds there are."""
    groups = []
    pages: dict[str, Json] = {
        "/version": {"major": "1", "minor": "35", "gitVersion": "v1.35.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/api/v1/namespaces/kube-system/secrets": {"kind": "SecretList", "apiVersion": "v1", "items": []},
    }
    for path, kinds in KINDS.items():
        version = path.removeprefix("/apis/").removeprefix("/api/")
        resources = [
            {
                "name": f"{kind.lower()}s", "singularName": kind.lower(), "kind": kind, "verbs": ["get", "list"],
                "namespaced": not kind.startswith("Cluster"),
            }
            for kind in kinds
        ]  # fmt: skip
        pages[path] = {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
        if "/" in version:
            served = {"groupVersion": version, "version": "v1"}
            groups.append({"name": version.partition("/")[0], "versions": [served], "preferredVersion": served})
    return {**pages, "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}}


@contextmanager
def helm_server(services: tuple[Json, ...] = ()) -> Iterator[str]:
    """The URL of one whose namespace kube-system has these Services, and nothing else."""
    pages = _discovery()
    for service in services:
        pages[f"/api/v1/namespaces/kube-system/services/{service['metadata']['name']}"] = service
    absent = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            body = json.dumps(page or absent).encode()
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Requests are not printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
