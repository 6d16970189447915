"""A tar, plain or compressed, as names and octets: whatever it holds, memory and work are bounded. The edge.

`tarfile` reads the heads that come before a member (PAX headers, GNU long names, maps of sparse files) whole, however
long they say they are, and a few kilobytes of gzip may stand for gigabytes of them. Here every length is compared with
what is left before an octet of it is decompressed, and nothing is read twice. Formats: POSIX.1-2001 pax, section
"ustar Interchange Format", and the long names of GNU tar ("Basic Tar Format" of its manual).
"""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple, cast

BLOCK: Final = 512
HEAD_LIMIT: Final = 1 << 16
"""Octets of a PAX header or a long name; paths have 4,096 at most."""
XZ_MEMORY: Final = 128 << 20
"""Octets that xz may take for its dictionary: its highest setting takes 65 MiB."""
CHUNK: Final = 1 << 18
FILES: Final = b"0\0" + b"7"
"""Types of members that are files; the zero octet is that of tars before POSIX."""
WITHOUT_DATA: Final = b"123456"
"""Links, devices, folders and pipes: no octets follow, whatever size is written."""


class ArchiveError(Exception):
    """It is not a tar, it is damaged, or it is too large; the text says which."""


class Limits(NamedTuple):
    """What an archive may hold."""

    file: int
    """Octets of one file."""
    total: int
    """Octets of everything, heads included."""
    files: int
    others: int
    """Folders, links and the like."""


class Member(NamedTuple):
    """A file of the archive."""

    name: str
    data: bytes
    written: int
    """When, in seconds since 1970."""


def read_archive(path: str, limits: Limits) -> Iterator[Member]:
    """The files of an archive, in its order. Raises ArchiveError, and OSError where it cannot be opened."""
    with open(path, "rb") as file:
        reader = _Reader(_decompressed(file), limits)
        try:
            yield from reader.members()
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise ArchiveError(str(error) or "it ends too early") from error


def _decompressed(file: BinaryIO) -> Callable[[int], bytes]:
    """Reads at most so many octets; fewer only at the end."""
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return cast(Callable[[int], bytes], gzip.GzipFile(fileobj=file).read)
    if magic.startswith(b"BZh"):
        return cast(Callable[[int], bytes], bz2.BZ2File(file).read)
    if magic.startswith(b"\xfd7zXZ\0"):
        return io.BufferedReader(_Xz(file), CHUNK).read
    return file.read


class _Xz(io.RawIOBase):
    """`lzma.LZMAFile` has no limit for its memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._decompressor.eof:
            more = self._file.read(CHUNK) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not more:
                raise EOFError("the compressed data ends too early")
            if data := self._decompressor.decompress(more, len(buffer)):
                buffer[: len(data)] = data
                return len(data)
        return 0


class _Reader:
    """The blocks of one archive, in order."""

    def __init__(self, read: Callable[[int], bytes], limits: Limits) -> None:
        self._read, self._limits = read, limits
        self._left = limits.total
        self._files = self._others = self._time = 0

    def members(self) -> Iterator[Member]:
        """Every file, up to the end of the compressed data, whose checksum stands behind it."""
        name, size = "", None
        while any(head := self._take(BLOCK, short=True)):
            if len(head) < BLOCK:
                raise ArchiveError("it ends in the middle of a head")
            kind, written, length = _head(head)
            self._time = _number(head[136:148])
            match kind:
                case b"L":
                    name = self._small(length).rstrip(b"\0").decode("utf-8", "replace")
                case b"x":
                    name, size = _extended(self._small(length), name)
                case b"g" | b"K":
                    self._small(length)
                case _:
                    yield from self._member(kind, name or written, length if size is None else size)
                    name, size = "", None
        while self._take(CHUNK, short=True):
            pass

    def _member(self, kind: bytes, name: str, size: int) -> Iterator[Member]:
        if kind in FILES:
            self._files += 1
            self._check(self._files <= self._limits.files, f"more than {self._limits.files:,} files")
            self._check(size <= self._limits.file, f"{name} has more than {self._limits.file >> 20} MiB")
            yield Member(name, self._data(size), self._time)
            return
        self._others += 1
        self._check(self._others <= self._limits.others, f"more than {self._limits.others:,} folders and links")
        if kind == b"S":
            raise ArchiveError(f"{name} is a sparse file of GNU tar")
        if kind not in WITHOUT_DATA:
            self._skip(size)

    def _data(self, size: int) -> bytes:
        """What a member holds, and past the rest of its last block."""
        data = self._take(size)
        self._take(-size % BLOCK)
        return data

    def _small(self, size: int) -> bytes:
        self._check(size <= HEAD_LIMIT, f"the head of a member has more than {HEAD_LIMIT >> 10} KiB")
        return self._data(size)

    def _skip(self, size: int) -> None:
        whole = size + -size % BLOCK
        self._check(whole <= self._left, f"more than {self._limits.total >> 20} MiB")
        while whole > 0:
            whole -= len(self._take(min(whole, CHUNK)))

    def _take(self, size: int, *, short: bool = False) -> bytes:
        """So many octets; ``short``: fewer where the archive ends."""
        self._check(size <= self._left or short, f"more than {self._limits.total >> 20} MiB")
        data = self._read(size) if size else b""
        self._left -= len(data)
        self._check(self._left >= 0, f"more than {self._limits.total >> 20} MiB")
        if len(data) < size and not short:
            raise ArchiveError("it ends in the middle of a member")
        return data

    @staticmethod
    def _check(fine: bool, problem: str) -> None:
        if not fine:
            raise ArchiveError(problem)


def _head(block: bytes) -> tuple[bytes, str, int]:
    """Type, name and size of a member. Raises ArchiveError for what is not the head of one."""
    unsigned = sum(block[:148]) + sum(block[156:]) + 8 * 0x20
    signed = unsigned - 256 * sum(octet > 127 for octet in block[:148] + block[156:])
    if _number(block[148:156]) not in (unsigned, signed):
        raise ArchiveError("it is not a tar, or damaged: the checksum of a head is wrong")
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    whole = b"/".join(part for part in (prefix, name) if part)
    return block[156:157], whole.decode("utf-8", "replace"), _number(block[124:136])


def _number(field: bytes) -> int:
    """Octal digits; or, where the first octet has its highest bit set, an integer (GNU tar)."""
    if field[0] & 0x80:
        value = int.from_bytes(field) & ~(0x80 << 8 * (len(field) - 1))
        if field[0] & 0x40:
            raise ArchiveError("a head has a negative number")
        return value
    digits = field.split(b"\0", 1)[0].strip()
    try:
        return int(digits or b"0", 8)
    except ValueError:
        raise ArchiveError("it is not a tar, or damaged: a head has a number that is not octal") from None


def _extended(data: bytes, name: str) -> tuple[str, int | None]:
    """``path`` and ``size`` of a PAX header, whose records are ``LENGTH KEY=VALUE\\n``."""
    size: int | None = None
    at = 0
    while at < len(data):
        digits, space, _ = data[at : at + 8].partition(b" ")
        if not space or not digits.isdigit() or not 5 <= int(digits) <= len(data) - at:
            raise ArchiveError("a PAX header is damaged")
        key, _, value = data[at + len(digits) + 1 : at + int(digits) - 1].partition(b"=")
        if key == b"path":
            name = value.decode("utf-8", "replace")
        elif key == b"size":
            if not value.isdigit() or len(value) > 20:
                raise ArchiveError("a PAX header has a size that is not a number")
            size = int(value)
        elif key.startswith(b"GNU.sparse."):
            raise ArchiveError("it has a sparse file of GNU tar")
        at += int(digits)
    return name, size
