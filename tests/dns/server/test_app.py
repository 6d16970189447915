"""The whole server as a process: start, answer, readiness, signals, mistakes."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kdns.demo.ask import Question, Reply
from tests.fakes.api_server import SYSTEM_COREDNS, FakeApiServer
from tests.fakes.objects import endpoint_slice, namespace, service
from tests.running import HTTP, LOOPBACK, NOBODY, PATIENCE, WEB, Kdns, folder

pytestmark = pytest.mark.e2e

FOUND = Reply("NOERROR", ("10.96.0.9",))
SHOP = (
    namespace("shop"),
    service("shop", "web", "10.96.0.9"),
    endpoint_slice("shop", "web-1", "web", ("10.1.0.1",)),
)
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: bad
clusters: [{{name: fake, cluster: {{server: {server}}}}}]
users: [{{name: good, user: {{token: right}}}}, {{name: bad, user: {{token: wrong}}}}]
contexts:
- {{name: good, context: {{cluster: fake, user: good}}}}
- {{name: bad, context: {{cluster: fake, user: bad}}}}
"""


async def becomes(kdns: Kdns, path: str, expected: int) -> str:
    """Wait until a page has a status; its text."""
    for _ in range(int(PATIENCE / 0.05)):
        status, text = await kdns.get(path)
        if status == expected:
            return text
        await asyncio.sleep(0.05)
    raise AssertionError(f"{path} is {status} still: {text}")


async def test_a_folder_is_served(tmp_path: Path) -> None:
    """Start-up says what it does in CoreDNS's form, then both transports answer, and SIGTERM ends it with 0."""
    async with Kdns("serve", "--source", folder(tmp_path), *LOOPBACK, *HTTP) as kdns:
        assert await kdns.ask(WEB) == FOUND
        assert await kdns.ask(WEB._replace(proto="tcp")) == FOUND
        assert (await kdns.ask(NOBODY)).rcode == "NXDOMAIN"
        assert await kdns.get("/ready") == (200, "OK")
        assert await kdns.get("/health") == (200, "OK")
        port = await kdns.port()
        kdns.send(signal.SIGTERM)
        assert await kdns.ended() == (0, "")
    assert [line for line in kdns.out if not line.startswith("[INFO] plugin/") or "synced" in line] == [
        next(line for line in kdns.out if "synced" in line),
        f"cluster.local.:{port} on 127.0.0.1",
        f"in-addr.arpa.:{port} on 127.0.0.1",
        f"ip6.arpa.:{port} on 127.0.0.1",
        "kdns-0.1.0",
        next(line for line in kdns.out if line.startswith("linux/")),
    ]
    assert await kdns.line(r"^\[INFO\] plugin/kubernetes: synced in \d+\.\d s: 1 service, 0 endpoint slices, 1 namesp")


async def test_an_edit_is_answered(tmp_path: Path) -> None:
    """A change of a file shows in the answers without a word on the log."""
    async with Kdns("serve", "--source", folder(tmp_path), *LOOPBACK, *HTTP) as kdns:
        assert await kdns.ask(WEB) == FOUND
        file = tmp_path / "shop.yaml"
        file.write_text(file.read_text().replace("10.96.0.9", "10.96.0.77"))
        for _ in range(int(PATIENCE / 0.05)):
            if await kdns.ask(WEB) != FOUND:
                break
            await asyncio.sleep(0.05)
        assert await kdns.ask(WEB) == Reply("NOERROR", ("10.96.0.77",))


async def test_lameduck(tmp_path: Path) -> None:
    """From SIGTERM on /ready is 503 while questions are answered; after the lameduck time it ends with 0."""
    arguments = ("serve", "--source", folder(tmp_path), *LOOPBACK, *HTTP, "--lameduck", "4s")
    async with Kdns(*arguments) as kdns:
        await kdns.port()
        kdns.send(signal.SIGTERM)
        await kdns.line(r"\[INFO\] plugin/health: Going into lameduck mode for 4s")
        assert await kdns.get("/ready") == (503, "Shutting down")
        assert await kdns.get("/health") == (200, "OK")
        assert await kdns.ask(WEB) == FOUND
        assert await kdns.ended() == (0, "")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(tmp_path: Path, second: signal.Signals) -> None:
    """An hour of lameduck is cut short by another signal, and the exit status says which."""
    arguments = ("serve", "--source", folder(tmp_path), *LOOPBACK, *HTTP, "--lameduck", "1h")
    async with Kdns(*arguments) as kdns:
        await kdns.port()
        kdns.send(signal.SIGTERM)
        await kdns.line("lameduck")
        kdns.send(second)
        assert await kdns.ended() == (128 + second, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_an_interrupt_has_no_lameduck(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, or a terminal that is closed, ends it without the lameduck time, with 0."""
    arguments = ("serve", "--source", folder(tmp_path), *LOOPBACK, *HTTP, "--lameduck", "1h")
    terminal = ("env", "--default-signal=HUP")  # whoever runs the tests with nohup has HUP ignored
    async with Kdns(*arguments, within=terminal) as kdns:
        await kdns.port()
        kdns.send(number)
        assert await kdns.ended() == (0, "")


async def test_readiness_follows_the_cluster() -> None:
    """Forbidden Services: not ready, saying so, and unknown names are SERVFAIL; ready as soon as they may be listed."""
    rules = {rule for rule in SYSTEM_COREDNS if rule[2] != "services"}
    async with (
        FakeApiServer(SHOP, rules=rules) as api,
        Kdns("serve", "--source", api.url, *LOOPBACK, *HTTP, "--startup-timeout", "1s") as kdns,
    ):
        await kdns.line(r"\[INFO\] plugin/kubernetes: waiting for the cluster: ")
        await kdns.line(r"\[WARNING\] plugin/kubernetes: serving before the cluster is known; not ready: services: ")
        status, text = await kdns.get("/ready")
        assert status == 503
        assert text.startswith("kubernetes: services: ")
        assert "403" in text
        assert (await kdns.ask(NOBODY)).rcode == "SERVFAIL"
        api.rules = set(SYSTEM_COREDNS)
        assert await becomes(kdns, "/ready", 200) == "OK"
        assert await kdns.ask(WEB) == FOUND
        assert (await kdns.ask(NOBODY)).rcode == "NXDOMAIN"
        await api.down()
        await kdns.line(r"\[WARNING\] plugin/kubernetes: watch of services lost: ")
        assert await kdns.get("/ready") == (200, "OK")
        assert await kdns.ask(WEB) == FOUND
        kdns.send(signal.SIGTERM)
        assert await kdns.ended() == (0, "")


async def test_a_signal_ends_the_start(tmp_path: Path) -> None:
    """While it waits for a cluster that is away it is alive and not ready, and SIGTERM ends it with 0."""
    arguments = ("serve", "--source", "http://127.0.0.1:9", *LOOPBACK, *HTTP, "--startup-timeout", "1h")
    async with Kdns(*arguments) as kdns:
        await kdns.line("waiting for the cluster: services: .*refused")
        assert await kdns.get("/health") == (200, "OK")
        assert (await kdns.get("/ready"))[0] == 503
        kdns.send(signal.SIGTERM)
        assert await kdns.ended() == (0, "")
    assert not [line for line in kdns.out if line.startswith("cluster.local")]


async def test_namespaces_are_optional() -> None:
    """Without the right to list Namespaces there is one warning, and all is ready."""
    rules = {rule for rule in SYSTEM_COREDNS if rule[2] != "namespaces"}
    async with (
        FakeApiServer(SHOP, rules=rules) as api,
        Kdns("serve", "--source", api.url, *LOOPBACK, *HTTP) as kdns,
    ):
        assert await becomes(kdns, "/ready", 200) == "OK"
        assert await kdns.ask(WEB) == FOUND
        assert (await kdns.ask(NOBODY)).rcode == "NXDOMAIN"
        warnings = [line for line in kdns.out if line.startswith("[WARNING]")]
        assert len(warnings) == 1
        assert "not following namespaces: " in warnings[0]
        assert "403" in warnings[0]


async def test_what_vanished_during_an_outage_vanishes_here() -> None:
    """A server that comes back from an old backup is listed anew, which one line tells."""
    async with (
        FakeApiServer(SHOP) as api,
        Kdns("serve", "--source", api.url, *LOOPBACK, *HTTP) as kdns,
    ):
        assert await kdns.ask(WEB) == FOUND
        await api.restart((namespace("shop"), service("shop", "api", "10.96.0.10")), version=1)
        await kdns.line(r"\[INFO\] plugin/kubernetes: services relisted: \+1 -1")
        assert (await kdns.ask(WEB)).rcode == "NXDOMAIN"
        assert await kdns.ask(Question("api.shop.svc.cluster.local", "A")) == Reply("NOERROR", ("10.96.0.10",))


async def test_a_kubeconfig_is_a_source(tmp_path: Path) -> None:
    """The server, the token and the context come from the kubeconfig; another token is not ready, and says 401."""
    config = tmp_path / "config"
    async with FakeApiServer(SHOP, token="right") as api:
        config.write_text(KUBECONFIG.format(server=api.url))
        async with Kdns("serve", "--source", f"kubeconfig:{config}@good", *LOOPBACK, *HTTP) as kdns:
            assert await kdns.ask(WEB) == FOUND
            assert await kdns.get("/ready") == (200, "OK")
        arguments = ("serve", "--source", f"kubeconfig:{config}", *LOOPBACK, *HTTP, "--startup-timeout", "100ms")
        async with Kdns(*arguments) as kdns:
            await kdns.port()
            status, text = await kdns.get("/ready")
            assert status == 503
            assert "kubernetes: services: 401" in text


async def test_questions_are_counted(tmp_path: Path) -> None:
    """What was asked over both transports is in the scrape under CoreDNS's names."""
    async with Kdns("serve", "--source", folder(tmp_path), *LOOPBACK, *HTTP) as kdns:
        for question in (WEB, WEB, NOBODY, WEB._replace(proto="tcp")):
            await kdns.ask(question)
        port = await kdns.port()
        families = {family.name: family for family in text_string_to_metric_families((await kdns.get("/metrics"))[1])}
    server = f"dns://127.0.0.1:{port}"

    def total(name: str, /, **labels: str) -> float:
        return sum(
            sample.value
            for sample in families[name].samples
            if labels.items() <= sample.labels.items() and not sample.name.endswith(("_bucket", "_sum"))
        )

    assert total("coredns_dns_requests", server=server, proto="udp", family="1", type="A", view="") == 3
    assert total("coredns_dns_requests", server=server, proto="tcp", family="1", type="A", view="") == 1
    assert total("coredns_dns_responses", server=server, rcode="NXDOMAIN", plugin="kubernetes") == 1
    assert total("coredns_dns_responses", server=server, rcode="NOERROR", plugin="kubernetes") == 3
    assert total("coredns_dns_request_size_bytes", server=server, proto="udp") == 3
    assert total("coredns_dns_request_duration_seconds", server=server) == 4
    assert total("coredns_plugin_enabled", server=server, name="kubernetes") == 3  # one for each zone
    assert total("coredns_panics") == 0
    assert total("kdns_objects", kind="Service") == 1
    assert total("process_resident_memory_bytes") > 1e6


async def test_json_logs(tmp_path: Path) -> None:
    """With --log-format json every line is a JSON object."""
    arguments = ("serve", "--source", folder(tmp_path), *LOOPBACK, "--health", "", "--ready", "", "--metrics", "")
    async with Kdns(*arguments, "--log-format", "json") as kdns:
        await kdns.line("kdns-0")
        await kdns.line("CPython")
        kdns.send(signal.SIGTERM)
        assert (await kdns.ended())[0] == 0
    lines = [json.loads(line) for line in kdns.out]
    assert {line["level"] for line in lines} == {"INFO"}
    assert any(line.get("plugin") == "kubernetes" and line["message"].startswith("synced in") for line in lines)


@pytest.mark.parametrize("flag", ["--port", "--health"])
async def test_a_taken_port_is_one_line(tmp_path: Path, flag: str) -> None:
    """A port that another has: one line with what to do, exit 1, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = {"--listen": "127.0.0.1", "--port": "0", "--health": "", "--ready": "", "--metrics": ""}
        arguments[flag] = port if flag == "--port" else f"127.0.0.1:{port}"
        flat = [text for pair in arguments.items() for text in pair]
        async with Kdns("serve", "--source", folder(tmp_path), *flat) as kdns:
            status, errors = await kdns.ended()
    assert status == 1
    assert errors.startswith("kdns: cannot listen on 127.0.0.1")
    assert "the port is taken" in errors
    assert "choose another port" in errors
    assert "Traceback" not in errors


async def test_a_cluster_that_cannot_be_followed_opens_no_page() -> None:
    """Outside a cluster the mistake is all that is said: /health does not answer first, as if all were well."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("KUBERNETES_")}
    async with Kdns("serve", "--source", "cluster", *LOOPBACK, *HTTP, environ=environ) as kdns:
        status, errors = await kdns.ended()
    assert (status, kdns.out) == (1, [])
    assert errors.startswith("kdns: not inside a cluster")
