"""What ``kdns records`` does: reads a source once, and prints its zone, or the part of it that was asked for."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import Final, TextIO

from kdns import __version__
from kdns.base.errors import ConfigError, first_mistake
from kdns.cli.output import write
from kdns.cli.parser import UsageError
from kdns.config.arguments import near
from kdns.config.settings import KubernetesOptions
from kdns.dns.plugins.kubernetes import schema_of
from kdns.kernel.interfaces import own_addresses
from kdns.records.answers import Answers
from kdns.records.present import COLUMN, below, by_zone, master_file, values
from kdns.records.rrset import RRset
from kdns.watch.follower import read_once, wants
from kdns.watch.open_source import build_source
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import AAAA, A
from kdns.wire.reverse import reverse_name

CLUSTER: Final = logging.getLogger("kdns.watch")


async def print_records(
    source_text: str, options: KubernetesOptions, *, form: str, name_text: str, out: TextIO | None = None
) -> int:
    """Print every record of the source as it is now, or those of a name or an address; the exit status.

    ``form`` is zone, json or yaml. Raises UsageError for a bad name, ConfigError when the source cannot be read or
    nothing has the name.
    """
    out = out or sys.stdout
    try:
        name = parse_name(name_text)
    except ValueError as error:
        raise UsageError(f"invalid name {name_text!r}: {error}") from error
    answers = Answers(schema_of(options), CLUSTER.warning)
    source = await build_source(source_text)
    try:
        with first_mistake():
            await read_once(source, wants(options), answers)
    finally:
        await source.close()
    answers.set_own_addresses(own_addresses(("",)))  # as a server on this machine would answer
    schema = answers.schema
    rrsets = by_zone(answers.records(), (*schema.zones, *schema.reverse_zones))
    chosen = select(rrsets, name_text, name, schema.zones) if name_text else iter(rrsets)
    printed = list(chosen)
    if not printed:
        raise ConfigError(f"no records at or below {name_text!r}", hint=suggestion(rrsets, name_text, schema.zones))
    if form == "zone":
        out.write(f"; kdns-{__version__}, source {source_text}\n")
        out.writelines(f"{line}\n" for line in master_file(printed, _widest(printed)))
    else:
        write(list(values(printed)), form, out)
    return 0


def _widest(rrsets: Iterable[RRset]) -> int:
    """Where TTLs begin, so that no name moves the columns of its line."""
    return max(COLUMN, *(len(name_text(rrset.owner)) for rrset in rrsets))


def select(rrsets: Sequence[RRset], text: str, name: bytes, zones: Sequence[bytes]) -> Iterator[RRset]:
    """The RRsets of a name as it stands and of those below it; of an address; else of a Service by its short name."""
    try:
        packed = ip_address(text).packed
    except ValueError:
        candidates = (name, *_short_names(text, zones))
        return iter(next(filter(None, (list(below(rrsets, candidate)) for candidate in candidates)), ()))
    owner = reverse_name(packed)
    return (rrset for rrset in rrsets if rrset.owner == owner or (rrset.rtype in {A, AAAA} and packed in rrset.rdatas))


def _short_names(text: str, zones: Iterable[bytes]) -> Iterator[bytes]:
    """What a Pod of Namespace default finds under a short name: ``web``, ``web.shop``, ``web.shop.svc``."""
    for zone in zones:
        for path in ("default.svc.", "svc.", ""):
            try:
                yield parse_name(f"{text.rstrip('.')}.{path}{name_text(zone)}")
            except ValueError:  # too long with the zone
                continue


def suggestion(rrsets: Iterable[RRset], text: str, zones: Iterable[bytes]) -> str:
    """A Service whose name is near, or how names are written."""
    services: dict[str, str] = {}
    for zone in zones:
        end = f".svc.{name_text(zone)}"
        for rrset in rrsets:
            owner = name_text(rrset.owner)
            if owner.endswith(end) and owner.removesuffix(end).count(".") == 1:
                services[owner.removesuffix(end)] = owner
    short = text.rstrip(".").removesuffix(".cluster.local").removesuffix(".svc")
    same = next((service for service in services if service.partition(".")[0] == short.partition(".")[0]), "")
    return (same and f"did you mean {same}?") or near(short, services) or "such as web.shop, or a whole name"
