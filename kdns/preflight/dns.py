"""DNS: the Corefile that it would serve, and the ports that this takes."""

from collections.abc import Iterator
from typing import Final

from kdns.base.errors import ConfigError, ConfigErrors
from kdns.base.listen_address import parse_address_port
from kdns.config.settings import ServeSettings
from kdns.dns.server.app import check, load_plans
from kdns.dns.server.plan import ServerBlockPlan, process_settings
from kdns.dns.server.registry import Registry
from kdns.preflight.model import Line, fail, note, ok, warn
from kdns.preflight.sockets import Sockets, Taken, Transport

REPLACED = ("coredns", "kube-proxy", "kdns")
"""What ends when kdns takes its place: a port that it has is no obstacle."""
USUAL: Final = {"kube-proxy": (10249, 10256), "coredns": (53, 8080, 8181, 9153)}
"""The ports of their default configurations. In a Pod it cannot be seen whose socket is whose (that would take the
capability SYS_PTRACE), only what runs."""
Port = tuple[Transport, str, int]


def corefile(settings: ServeSettings, called: str = "") -> tuple[list[Line], tuple[ServerBlockPlan, ...]]:
    """Its mistakes and warnings, a line each, and what it would serve. ``called``: where it is from, for messages."""
    called = called or settings.corefile
    try:
        checked = check(settings)
    except ConfigErrors as errors:
        return [_mistake(called, error) for error in errors.errors], ()
    except ConfigError as error:
        return [_mistake(called, error)], ()
    lines = [_warning(called, settings.corefile, line) for line in checked.lines[: checked.warnings]]
    lines.insert(
        0, ok("Corefile", f"{called}: {checked.blocks} server block{'s' * (checked.blocks != 1)}, no mistakes")
    )
    return lines, load_plans(settings, Registry(settings.plugins)).plans


def _warning(called: str, path: str, text: str) -> Line:
    """The first of its lines: the excerpt is what `kdns check` is for."""
    first = text.removeprefix("warning: ").partition("\n")[0]
    return warn("Corefile", called + first.removeprefix(path) if first.startswith(path) else first)


def _mistake(called: str, error: ConfigError) -> Line:
    place = f"{called}:{error.at.line}:{error.at.column}" if error.at else called
    return fail("Corefile", f"{place}: {error.problem}", error.hint or "kdns check shows the line")


def ports_of(plans: tuple[ServerBlockPlan, ...]) -> list[Port]:
    """Every port that server blocks and their HTTP pages take."""
    ports: dict[Port, None] = {}
    for plan in plans:
        for listener in plan.listeners:
            transports: tuple[Transport, ...] = ("udp", "tcp") if listener.scheme == "dns" else ("tcp",)
            ports |= {(transport, listener.address, listener.port): None for transport in transports}
    asked = process_settings(plans)
    for text in (*asked.health, *asked.ready, *asked.metrics):
        if text:
            address = parse_address_port(text)
            ports["tcp", address.host, address.port] = None
    return [port for port in ports if port[2]]


def ports(wanted: list[Port], sockets: Sockets) -> Iterator[Line]:
    """Which of them are taken."""
    free = []
    for transport, address, port in wanted:
        if taken := sockets.taken(transport, address, port):
            yield _taken(transport, address, port, taken, sockets)
        else:
            free.append(f"{port}/{transport}")
    if free:
        yield ok("ports", f"{', '.join(dict.fromkeys(free))} {'is' if len(free) == 1 else 'are'} free")


def _taken(transport: str, address: str, port: int, taken: Taken, sockets: Sockets) -> Line:
    where = f"{port}/{transport}{f' of {address}' if address else ''}"
    program = taken.program or "a program that is not seen from here"
    if program.startswith(REPLACED):
        return note("ports", f"{where} is taken by {program}; it is free once that has ended")
    for name in () if taken.program else USUAL:
        if port in USUAL[name] and (pids := sockets.programs().get(name)):
            runs = f"{name} (pid {', '.join(map(str, sorted(pids)))})"
            return note(
                "ports", f"{where} is taken, most likely by {runs}, whose port it is; it is free once that has ended"
            )
    option = "-lunp" if transport == "udp" else "-ltnp"
    todo = f"see it with: ss {option} 'sport = :{port}'; stop it, or bind other addresses (bind in the Corefile)"
    return fail("ports", f"{where} is taken by {program} on {taken.address}", todo)  # fmt: skip
