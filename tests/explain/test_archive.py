"""Archives as an attacker would mail them: memory and work are bounded, whatever the heads of members say."""

import bz2
import gzip
import io
import lzma
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from kdns.explain.archive import ArchiveError, Limits, read_archive
from tests.effort import processor_time

LIMITS = Limits(file=1 << 20, total=4 << 20, files=100, others=400)
GIB = 1 << 30


def head(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The head of a member as GNU tar writes it."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def bomb(start: bytes, zeros: int) -> bytes:
    """A gzip of some octets, and so many zeros behind them: a thousandth of their size."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(zeros >> 20):
            file.write(bytes(1 << 20))
    return packed.getvalue()


def written(path: Path, data: bytes) -> str:
    """A file with this content."""
    path.write_bytes(data)
    return str(path)


HOSTILE = {
    "a PAX header that says it has a gigabyte": head("x", GIB, tarfile.XHDTYPE),
    "a global PAX header of that size": head("x", GIB, tarfile.XGLTYPE),
    "a GNU long name of that size": head("x", GIB, tarfile.GNUTYPE_LONGNAME),
    "a GNU long link of that size": head("x", GIB, tarfile.GNUTYPE_LONGLINK),
    "a file of that size": head("node/a/nft.txt", GIB),
    "a file of an octet more than may be": head("node/a/nft.txt", LIMITS.file + 1),
    "a member of an unknown type of that size": head("x", GIB, b"Z"),
    "files that are too large together": b"".join(
        head(f"node/{number}/nft.txt", LIMITS.file) + bytes(LIMITS.file) for number in range(5)
    ),
    "a sparse file": head("node/a/nft.txt", 512, tarfile.GNUTYPE_SPARSE) + bytes(512),
    "more files than may be": b"".join(head(f"node/{number}/nft.txt", 0) for number in range(101)),
    "more folders than may be": b"".join(head(f"node/{number}", 0, tarfile.DIRTYPE) for number in range(401)),
    "more links than may be": b"".join(head(f"node/{number}", 0, tarfile.SYMTYPE) for number in range(401)),
    "heads without end": head("x", 0, tarfile.XGLTYPE) * 10_000,
    "zeros behind the end": bytes(1024),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_archives_cost_little(tmp_path: Path, what: str) -> None:
    """An archive that stands for gigabytes is refused with a few megabytes of memory, and little work."""
    path = written(tmp_path / "evidence.tar.gz", bomb(HOSTILE[what], 64 << 20))
    tracemalloc.start()
    try:
        with processor_time(5), pytest.raises(ArchiveError):
            list(read_archive(path, LIMITS))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * LIMITS.total


PAX_RECORDS = {
    "an own length that is too long": b"99999999 path=x\n",
    "a length of zero": b"0 path=x\n",
    "no length": b"path=x\n",
    "a size that is not a number": b"11 size=-1\n",
    "a size of a hundred digits": b"110 size=" + b"9" * 100 + b"\n",
    "a sparse file": b"24 GNU.sparse.major=1 \n",
}


@pytest.mark.parametrize("what", PAX_RECORDS)
def test_a_damaged_pax_header(tmp_path: Path, what: str) -> None:
    """Records that contradict themselves end the reading with an error of one line."""
    records = PAX_RECORDS[what]
    data = head("x", len(records), tarfile.XHDTYPE) + records.ljust(512, b"\0") + head("a", 0)
    with pytest.raises(ArchiveError) as caught:
        list(read_archive(written(tmp_path / "a.tar", data), LIMITS))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("packed", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["tar", "gz", "bz2", "xz"])
def test_what_others_write_is_read(tmp_path: Path, form: int, packed: Callable[[bytes], bytes]) -> None:
    """Long names, names that are not ASCII, folders, links and empty files, in each format that tar programs write."""
    long = "/".join(("pod", "shop", "x" * 90, "y" * 60))
    files = {"./node/a/nft.txt": b"table ip x {\n}\n", long: b"1" * 1000, "empty": b"", "block": b"2" * 512}
    files |= {} if form == tarfile.USTAR_FORMAT else {"pod/shop/z\u00fcrich/" + "z" * 200: b"3"}
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=form) as archive:
        folder, link = tarfile.TarInfo("node"), tarfile.TarInfo("latest")
        folder.type, link.type, link.linkname = tarfile.DIRTYPE, tarfile.SYMTYPE, "node"
        archive.addfile(folder)
        archive.addfile(link)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    path = written(tmp_path / "evidence", packed(whole.getvalue()))
    assert {member.name: member.data for member in read_archive(path, LIMITS)} == files


@pytest.mark.parametrize("data", [b"", bytes(511), bytes(10_000)])
def test_an_archive_without_files(tmp_path: Path, data: bytes) -> None:
    """Nothing, and zeros, are archives that hold nothing."""
    assert list(read_archive(written(tmp_path / "evidence", data), LIMITS)) == []


@pytest.mark.parametrize("data", [b"hello", b"\x1f\x8b", b"\x7fELF" + b"x" * 600, b"BZh9", b"\xfd7zXZ\0"])
def test_what_is_not_an_archive(tmp_path: Path, data: bytes) -> None:
    """Other files are refused."""
    with pytest.raises(ArchiveError, match=r"\w"):
        list(read_archive(written(tmp_path / "evidence", data), LIMITS))


def test_the_dictionary_of_xz_is_bounded(tmp_path: Path) -> None:
    """A head that asks for a dictionary of more than a gigabyte is refused before it is allocated."""
    data = bytearray(lzma.compress(bytes(1000), preset=0))
    end = 12 + (data[12] + 1) * 4  # of the block header, whose last four octets are its CRC32
    data[data.index(b"\x21\x01", 12, end) + 2] = 37  # LZMA2: 1.5 GiB (xz file format 1.2.1, section 5.3.1)
    data[end - 4 : end] = zlib.crc32(data[12 : end - 4]).to_bytes(4, "little")
    with pytest.raises(ArchiveError, match=r"[Mm]emory"):
        list(read_archive(written(tmp_path / "evidence.tar.xz", bytes(data)), LIMITS))
