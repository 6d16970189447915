"""The API server: rights, and what is installed."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kdns.config.settings import KubernetesOptions
from kdns.preflight import cluster
from kdns.preflight.model import Line, Verdict
from kdns.watch.api.client import Api, open_session
from kdns.watch.api.credentials import Anonymous
from kdns.watch.follower import proxy_wants, wants
from tests.fakes.api_server import SYSTEM_COREDNS, SYSTEM_NODE_PROXIER, FakeApiServer, Rule
from tests.fakes.objects import Json, namespace, service

DNS = {**service("kube-system", "kube-dns", "10.96.0.10"), "kind": "Service"}
READER: frozenset[Rule] = frozenset(
    ("get", group, plural)
    for group, plural in (("", "services"), ("", "configmaps"), ("apps", "deployments"), ("apps", "daemonsets"))
)


@asynccontextmanager
async def connected(objects: Iterable[Json], rules: Iterable[Rule]) -> AsyncIterator[Api]:
    """A client of a server that has these objects and rights."""
    async with FakeApiServer(objects, rules=rules) as server, open_session() as session:
        yield Api(session, Anonymous(server.url), watch_timeout=20.0)


async def test_rights_that_are_there() -> None:
    """Every kind is listed and watched; the line says how many objects there are."""
    async with connected([namespace("shop"), service("shop", "web", "10.96.0.9")], SYSTEM_COREDNS) as api:
        lines = await cluster.rights(api, wants(KubernetesOptions()))
    assert {line.verdict for line in lines} == {Verdict.OK}
    assert lines[0].text == "may list and watch services (1)"


async def test_rights_that_are_missing() -> None:
    """They are failures with the verb and the kind; without ServiceCIDRs and Namespaces kdns does without them."""
    some = {rule for rule in SYSTEM_NODE_PROXIER if rule[2] not in ("endpointslices", "servicecidrs")}
    async with connected([], some) as api:
        lines = {line.text.split()[3].strip(":"): line for line in await cluster.rights(api, proxy_wants("node-1"))}
    assert lines["endpointslices"].verdict is Verdict.FAIL
    assert "list" in lines["endpointslices"].text
    assert "rbac.yaml" in lines["endpointslices"].todo
    assert lines["servicecidrs"].verdict is Verdict.WARN


async def test_watch_is_a_right_of_its_own() -> None:
    """Who may list only is told so."""
    async with connected([], {rule for rule in SYSTEM_COREDNS if rule[0] == "list"}) as api:
        lines = await cluster.rights(api, wants(KubernetesOptions()))
    assert Verdict.OK not in {line.verdict for line in lines}
    assert all("watch" in line.text for line in lines)


def body(kind: str, name: str, **more: Any) -> Json:
    """An object in kube-system."""
    return {"kind": kind, "metadata": {"name": name, "namespace": "kube-system"}, **more}


Look = Callable[[Api], Coroutine[Any, Any, list[Line]]]
CASES: tuple[tuple[str, Look, list[Json], Verdict, str], ...] = (
    ("right", cluster.dns_service, [{**DNS, "spec": {**DNS["spec"], "selector": {"k8s-app": "kube-dns"}}}],
     Verdict.OK, "is 10.96.0.10 and selects k8s-app: kube-dns"),
    ("other", cluster.dns_service, [{**DNS, "spec": {**DNS["spec"], "selector": {"app": "dns"}}}],
     Verdict.WARN, "selects {'app': 'dns'}"),
    ("none", cluster.dns_service, [], Verdict.NOTE, "is not there"),
    ("good", cluster.coredns_corefile, [body("ConfigMap", "coredns", data={"Corefile": ".:53 {\n whoami\n}\n"})],
     Verdict.OK, "ConfigMap coredns: 1 server block"),
    ("bad", cluster.coredns_corefile, [body("ConfigMap", "coredns", data={"Corefile": ".:53 {\n nonsense\n}\n"})],
     Verdict.FAIL, "ConfigMap coredns:2:2: "),
)  # fmt: skip


@pytest.mark.parametrize(("name", "look", "objects", "verdict", "text"), CASES)
async def test_what_is_there(name: str, look: Look, objects: list[Json], verdict: Verdict, text: str) -> None:
    """Of the Service of DNS, and of CoreDNS's Corefile."""
    async with connected(objects, READER) as api:
        (line,) = await look(api)
    assert line.verdict is verdict
    assert text in line.text


async def test_workloads() -> None:
    """Those that do this work now."""
    objects = [
        body("Deployment", "coredns", apiVersion="apps/v1"),
        body("DaemonSet", "kube-proxy", apiVersion="apps/v1"),
    ]
    async with connected(objects, READER) as api:
        lines = await cluster.installed(api)
    assert [line.text for line in lines] == [
        "CoreDNS (coredns in kube-system)",
        "kube-proxy (kube-proxy in kube-system)",
    ]


async def test_what_is_not_ours_to_read() -> None:
    """It is a note with another way to look, not a failure: DNS itself needs no right to read workloads."""
    async with connected([], SYSTEM_COREDNS) as api:
        lines = await cluster.installed(api)
    assert {(line.verdict, line.todo) for line in lines} == {
        (Verdict.NOTE, "look with kubectl, or run this with your kubeconfig")
    }
