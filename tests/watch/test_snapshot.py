"""What is known of a cluster, in a file: the same objects come back, or one line says why not."""

import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.errors import ApiError
from kdns.base.objects import Kind, Object, ObjectKey
from kdns.watch.follower import proxy_wants, wants
from kdns.watch.snapshot import LIMIT, MAGIC, Unusable, decode, encode, encode_object
from kdns.watch.snapshot_file import SnapshotFile
from kdns.watch.source import Upserted, Want
from tests.fakes.api_server import SYSTEM_NODE_PROXIER, WITH_IMPORTS, FakeApiServer
from tests.fakes.objects import (
    endpoint_slice,
    imported_slice,
    namespace,
    node,
    pod,
    service,
    service_cidr,
    service_import,
)
from tests.watch.api.dialogue import Following

WANTS = (Want("Service"), Want("Namespace", optional=True))
CLUSTERS = (
    service("shop", "web", "10.96.0.9", externalIPs=["192.0.2.9"], loadBalancerSourceRanges=["10.0.0.0/8"]),
    service("shop", "db", "None"),
    endpoint_slice("shop", "web-1", "web", ["10.244.0.5", "10.244.0.6"]),
    imported_slice("shop", "web-eu", "web", "eu", ["10.8.0.5"]),
    service_import("shop", "web", ["10.112.0.9"]),
    namespace("shop"),
    pod("shop", "web-1", "10.244.0.5", app="web"),
    node("node1", "172.18.0.2", zone="a", pod_cidrs=["10.244.0.0/24"]),
    service_cidr("kubernetes", "10.96.0.0/12"),
)


def everything() -> list[Want]:
    """Every kind with every column."""
    every = Want("Pod", external=True, routing=True, pod_names=True, zones=True, imports=True, labels=True)
    kinds: Sequence[Kind] = ("Service", "EndpointSlice", "Namespace", "Pod", "Node", "ServiceCIDR", "ServiceImport")
    return [every._replace(kind=kind) for kind in kinds]


async def test_every_kind_comes_back_as_it_was() -> None:
    """All that is kept of all kinds, with all their columns, is the same after it was written and read."""
    rules = SYSTEM_NODE_PROXIER | WITH_IMPORTS
    async with FakeApiServer(CLUSTERS, rules=rules) as api, Following(api, *everything()) as seen:
        await seen.synced()
        kept = [event.object for event in seen.events if isinstance(event, Upserted)]
    assert len(kept) == len(CLUSTERS)
    groups: list[tuple[Kind, list[bytes]]] = [
        (want.kind, [encode_object(one) for one in kept if one.key.kind == want.kind]) for want in everything()
    ]
    snapshot = decode(encode("here", 17.0, everything(), groups), "here", everything())
    assert snapshot.taken == 17.0
    assert sorted(snapshot.decoded(), key=lambda one: one.key) == sorted(kept, key=lambda one: one.key)


DATA = encode("here", 17.0, WANTS, [("Service", []), ("Namespace", [])])
CASES = (
    ("nothing", b"", "it is not a snapshot"),
    ("something else", b"{}" * 40, "it is not a snapshot"),
    ("a later format", DATA.replace(MAGIC, b"kdns snapshot 2\n"), "it is of another version"),
    ("cut short", DATA[:-1], "it is damaged"),
    ("only its head", MAGIC, "it is damaged"),
    ("another cluster", encode("there", 17.0, WANTS, []), "it is of another cluster"),
    ("other settings", encode("here", 17.0, WANTS[:1], []), "it was taken with other settings"),
)


@pytest.mark.parametrize(("title", "data", "problem"), CASES, ids=[case[0] for case in CASES])
def test_what_is_not_used(title: str, data: bytes, problem: str) -> None:
    """A snapshot that is damaged, or of another version, cluster or choice of objects, says which."""
    with pytest.raises(Unusable, match=problem):
        decode(data, "here", WANTS)


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_any_octet_that_is_another_one(at: int, change: int) -> None:
    """Not one octet can differ without being noticed."""
    spoiled = DATA[:at] + bytes([DATA[at] ^ change]) + DATA[at + 1 :]
    with pytest.raises(Unusable):
        decode(spoiled, "here", WANTS)


def test_an_object_of_another_kind_is_noticed() -> None:
    """Octets with the right digest and the wrong content are unusable, not a bug."""
    data = encode("here", 17.0, WANTS, [("Service", [b"\x90", b"\xc1"]), ("Namespace", [])])
    with pytest.raises(Unusable, match="damaged"):
        list(decode(data, "here", WANTS).decoded())


def test_settings_that_differ_differ() -> None:
    """What DNS and the proxy follow is never taken for each other's."""
    from kdns.config.settings import KubernetesOptions  # noqa: PLC0415

    assert tuple(wants(KubernetesOptions())) != tuple(proxy_wants("node1"))


async def here() -> str:
    """The cluster of these tests."""
    return "here"


def objects(count: int) -> list[tuple[Kind, Sequence[Object]]]:
    """So many Namespaces."""
    from kdns.base.objects import Namespace  # noqa: PLC0415

    return [("Service", []), ("Namespace", [Namespace(ObjectKey("Namespace", "", f"n{i}")) for i in range(count)])]


async def test_a_file_is_whole_and_private(tmp_path: Path) -> None:
    """Written beside, renamed: a reader sees the old one or the new one; nothing else is left in the folder."""
    file = SnapshotFile(str(tmp_path), "dns", here, now=lambda: 17.0)
    assert await file.load(WANTS) is None
    for count in (3, 5):
        await file.save(WANTS, objects(count))
        snapshot = await file.load(WANTS)
        assert snapshot is not None
        assert len(list(snapshot.decoded())) == count
        assert os.listdir(tmp_path) == ["dns.snapshot"]
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


async def test_what_cannot_be_written_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that is not there, or data above the limit: once in the log, and the last good file stays."""
    missing = SnapshotFile(str(tmp_path / "none"), "dns", here)
    for _ in range(3):
        await missing.save(WANTS, objects(1))
    assert len(caplog.records) == 1
    good = SnapshotFile(str(tmp_path), "dns", here)
    await good.save(WANTS, objects(2))
    small = SnapshotFile(str(tmp_path), "dns", here, limit=good.path.stat().st_size)
    await small.save(WANTS, objects(200))
    snapshot = await small.load(WANTS)
    assert snapshot is not None
    assert len(list(snapshot.decoded())) == 2
    assert "most of them namespaces" in caplog.records[-1].getMessage()
    assert LIMIT == 256 << 20


async def test_what_cannot_be_read_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Too large, a folder, credentials that cannot be read: not used, one line each."""

    async def unknown() -> str:
        raise ApiError(0, "credentials", "the token is empty")

    file = SnapshotFile(str(tmp_path), "dns", here)
    await file.save(WANTS, objects(2))
    assert await SnapshotFile(str(tmp_path), "dns", here, limit=9).load(WANTS) is None
    assert await SnapshotFile(str(tmp_path), "dns", unknown).load(WANTS) is None
    (tmp_path / "proxy.snapshot").mkdir()
    assert await SnapshotFile(str(tmp_path), "proxy", here).load(WANTS) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
