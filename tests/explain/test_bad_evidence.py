"""Evidence as colleagues mail it: cut off, of another cluster, contradicting itself. The rest goes on."""

import gzip
import tarfile
from pathlib import Path

import pytest

from kdns.base.errors import ConfigError
from kdns.explain.bundle import FILE_LIMIT
from tests.explain.cases import CASES
from tests.explain.evidence import Body, explained, link

GOOD = (CASES / "OK-a-healthy-service" / "objects.yaml").read_text()
COMMON = (CASES / "common.yaml").read_text()


def bundle(path: Path, **files: str) -> Path:
    """A folder with these files at its top."""
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / name.replace("_", ".")).write_text(text)
    return path


def test_a_truncated_dump_proves_no_absence(tmp_path: Path) -> None:
    """A Service that may stand in the part that is cut off is not reported as missing."""
    cut = GOOD[: GOOD.index("kind: Pod") + 40] + "\n  labels: {app: [cart\n"
    values = explained(
        bundle(tmp_path / "cut", objects_yaml=cut, common_yaml=COMMON), "billing.shop", from_pod="shop/client"
    )
    assert values["verdict"] == "unknown"
    [name] = link(values, "name")
    assert name["state"] == "unchecked"
    assert "objects.yaml" in name["needs"]


def test_a_dump_of_another_cluster(tmp_path: Path) -> None:
    """A client that is not in the dump is not checked, and the Service is."""
    values = explained(
        bundle(tmp_path / "other", objects_yaml=GOOD, common_yaml=COMMON), "cart.shop:8080", from_pod="bank/teller"
    )
    [client] = link(values, "client")
    assert client["state"] == "unchecked"
    assert "Pod bank/teller is not in the evidence" in client["says"]
    assert link(values, "service")[0]["state"] == "ok"


def test_a_namespace_of_which_nothing_was_dumped(tmp_path: Path) -> None:
    """Nothing is claimed of a Namespace that the dump has no object of."""
    values = explained(bundle(tmp_path / "part", objects_yaml=GOOD), "ledger.bank", from_pod="shop/client")
    assert link(values, "name")[0]["state"] == "unchecked"
    assert values["first_fault"] is None


def test_two_versions_of_an_object(tmp_path: Path) -> None:
    """Two files that have the Service in different versions are named, and the first counts."""
    newer = GOOD.replace('resourceVersion: "101"', 'resourceVersion: "999"').replace("port: 8080", "port: 9090")
    assert newer != GOOD
    values = explained(bundle(tmp_path / "two", a_yaml=GOOD, b_yaml=newer, common_yaml=COMMON), "cart.shop:8080")
    warnings = [entry for entry in link(values, "service") if entry["state"] == "warning"]
    assert any("two versions of Service/shop/cart" in entry["says"] and "999" in entry["says"] for entry in warnings)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    """A resolv.conf with octets that are not text makes the client unchecked."""
    folder = bundle(tmp_path / "bin", objects_yaml=GOOD, common_yaml=COMMON)
    (folder / "pod/shop/client").mkdir(parents=True)
    (folder / "pod/shop/client/resolv.conf").write_bytes(b"\x7fELF\0\0\1")
    values = explained(folder, "cart.shop", from_pod="shop/client")
    assert link(values, "client")[0]["state"] == "unchecked"
    assert "not a text file" in link(values, "client")[0]["says"]


def test_an_archive_below_one_folder(tmp_path: Path) -> None:
    """A tar.gz whose files are all below one folder is read as if they were at its top."""
    folder = bundle(tmp_path / "kdns-evidence", objects_yaml=GOOD, common_yaml=COMMON)
    path = tmp_path / "evidence.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "kdns-evidence")
    values: Body = explained(path, "cart.shop:8080", from_pod="shop/client")
    assert link(values, "endpoints")[0]["state"] == "ok"


def test_a_truncated_archive(tmp_path: Path) -> None:
    """An archive that ends in the middle is an error of the command line, with its name."""
    folder = bundle(tmp_path / "whole", objects_yaml=GOOD * 50)
    path = tmp_path / "evidence.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "x")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ConfigError, match=r"cannot read .*evidence\.tar\.gz"):
        explained(path, "cart.shop")


@pytest.mark.parametrize(("ending", "damaged"), [("gz", -8), ("xz", 200)], ids=["checksum", "data"])
def test_a_damaged_archive(tmp_path: Path, ending: str, damaged: int) -> None:
    """One whose octets have changed on their way is an error too, wherever they did: here the CRC, and the data."""
    folder = bundle(tmp_path / "whole", objects_yaml=GOOD, common_yaml=COMMON)
    path = tmp_path / f"evidence.tar.{ending}"
    with tarfile.open(path, f"w:{ending}") as archive:  # type: ignore[call-overload]
        archive.add(folder, "x")
    octets = bytearray(path.read_bytes())
    octets[damaged] ^= 0xFF
    path.write_bytes(octets)
    with pytest.raises(ConfigError, match=r"cannot read .*evidence\.tar\."):
        explained(path, "cart.shop")


def test_an_archive_that_would_be_too_large(tmp_path: Path) -> None:
    """What its head declares is refused before it is decompressed: a few kilobytes may stand for many gigabytes."""
    member = tarfile.TarInfo("node/a/iptables-save.txt")
    member.size = FILE_LIMIT + 1
    path = tmp_path / "evidence.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(member.tobuf() + bytes(tarfile.BLOCKSIZE))
    with pytest.raises(ConfigError, match="more than"):
        explained(path, "cart.shop")
