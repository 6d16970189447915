"""file: zones in several files ($INCLUDE), and lines for many numbers ($GENERATE)."""

from pathlib import Path

import pytest

from kdns.base.errors import ConfigError
from kdns.dns.plugins import file
from kdns.dns.plugins.file import Files
from kdns.dns.zonefile.reading import read_zone
from kdns.wire.name import parse_name
from tests.config.text import directives
from tests.dns.parts import FakeParts
from tests.dns.plugins.asking import handler, request, words
from tests.dns.plugins.test_file import HEAD, started

GENERATED = (
    ("$GENERATE 1-3 h$ A 192.0.2.$", "h1 A 192.0.2.1|h2 A 192.0.2.2|h3 A 192.0.2.3"),
    ("$GENERATE 0-4/2 $ 30 IN A 192.0.2.$", "0 30 A 192.0.2.0|2 30 A 192.0.2.2|4 30 A 192.0.2.4"),
    ("$GENERATE 9-10 h${1,3} A 192.0.2.${-9}", "h010 A 192.0.2.0|h011 A 192.0.2.1"),
    ("$GENERATE 10-11 h${0,3,x}-${0,0,X}-${0,0,o} A 192.0.2.1", "h00a-A-12 A 192.0.2.1|h00b-B-13 A 192.0.2.1"),
    ("$GENERATE 27-27 ${0,7,n}.r A 192.0.2.1", "b.1.0.0.r A 192.0.2.1"),
    ("$GENERATE 27-27 ${0,0,N}.r A 192.0.2.1", "b.1.r A 192.0.2.1"),
    (r'$GENERATE 1-1 t TXT "a\$b $" c$$', 't TXT "a$b 1" "c$"'),
    ("$GENERATE 1-2 s SRV 0 0 808$ h$.other.", "s SRV 0 0 8081 h1.other.|s SRV 0 0 8082 h2.other."),
)


@pytest.mark.parametrize(("text", "same"), GENERATED)
def test_generate(text: str, same: str) -> None:
    """A line for many numbers is the same as many lines."""
    apex = parse_name("example.org")
    expected = read_zone(f"$TTL 7|{same}".split("|"), apex, "db")
    assert read_zone(["$TTL 7", text], apex, "db") == expected
    assert expected


async def test_include(tmp_path: Path) -> None:
    """A file has the origin and the TTL of where it stands, or an origin of its own, and changes neither."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "more").write_text("a A 192.0.2.1\n$ORIGIN deep\n$TTL 9\nb A 192.0.2.2\n$INCLUDE again x\n")
    (tmp_path / "parts" / "again").write_text("c A 192.0.2.3\n")
    zone = HEAD + "$TTL 30\nw A 192.0.2.9\n$INCLUDE parts/more\n A 192.0.2.8\n$INCLUDE parts/again sub\n"
    made, parts = await started(tmp_path, zone=zone)
    for name, record in (
        ("a", "30 A 192.0.2.1"),
        ("b.deep", "9 A 192.0.2.2"),
        ("c.x.deep", "9 A 192.0.2.3"),
        ("c.sub", "30 A 192.0.2.3"),
    ):
        found = await handler(made)(request(f"{name}.example.org A"))
        assert words(found) == f"NOERROR aa | {name}.example.org. {record}"
    found = await handler(made)(request("w.example.org A"))
    assert words(found) == "NOERROR aa | w.example.org. 30 A 192.0.2.9 | w.example.org. 30 A 192.0.2.8"
    await parts.close()


async def test_an_included_file_is_watched(tmp_path: Path) -> None:
    """One that is changed is read, one that is gone is told at its place, and one that is no longer named forgotten."""
    (tmp_path / "db").write_text(HEAD + "$INCLUDE one\n")
    (tmp_path / "one").write_text("a A 192.0.2.1\n")
    parts = FakeParts(folder=str(tmp_path))
    options = file.parse(directives("file db example.org"), parts.place)
    files, (each,) = Files(options, parts), options.files
    assert [await files.refresh(each), await files.refresh(each)] == [True, False]
    (tmp_path / "one").write_text("a A 192.0.2.1\nb A 192.0.2.2\n")
    assert [await files.refresh(each), await files.refresh(each)] == [True, False]
    assert len(list(files.zone_records(parse_name("example.org")))) == 3
    (tmp_path / "one").unlink()
    for _ in range(2):
        with pytest.raises(ConfigError, match="'one' cannot be read"):
            await files.refresh(each)
    assert len(list(files.zone_records(parse_name("example.org")))) == 3
    (tmp_path / "db").write_text(HEAD)
    assert [await files.refresh(each), await files.refresh(each)] == [True, False]
    (tmp_path / "one").write_text("broken")
    assert not await files.refresh(each)


async def test_all_files_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Octets are counted over all files, each time one is read."""
    monkeypatch.setattr(file, "MAX_FILE", 1000)
    (tmp_path / "one").write_text("a A 192.0.2.1\n" * 30)
    with pytest.raises(ConfigError, match="one: over 1000 octets"):
        await started(tmp_path, zone=HEAD + "$INCLUDE one\n" * 3)
    _, parts = await started(tmp_path, zone=HEAD + "$INCLUDE one\n" * 2)
    await parts.close()
