"""The same rules for iptables-restore, where the kernel has no nf_tables. Pure.

Timeouts of ipset, and the ``--seconds`` of the extension recent, are whole seconds. But recent keeps the moment of each
packet, to the jiffy, and counts: an address is alive while so many answers left within the last second as do when none
is missing for 0.4 s. (Sources: xt_recent.c, ``recent_mt``; iptables-extensions(8).)
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from kdns.base.objects import address_text
from kdns.nodelocal.liveness import Liveness
from kdns.nodelocal.plan import PORT

SECONDS: Final = 1
LIVENESS: Final = Liveness(every=0.05, within=float(SECONDS), enough=13)
"""At best 20 answers count. Fewer than 13 do if the server is late by half of the pause at every question."""
LIST: Final = "KDNS-DNS-ALIVE"
"""The list of recent, of both families: ``/proc/net/xt_recent/KDNS-DNS-ALIVE``."""
JUMPS: Final = (
    ("raw", "PREROUTING", "KDNS-DNS-PREROUTING"),
    ("raw", "OUTPUT", "KDNS-DNS-OUTPUT"),
    ("filter", "INPUT", "KDNS-DNS-INPUT"),
)
"""Table, the kernel's chain, and ours that it jumps to first."""
NOTRACK: Final = "-j CT --notrack"
SOCKET: Final = "-m socket"
"""As `kdns.nodelocal.nftables.SOCKET`; the extension may be missing (xt_socket)."""


def script(addresses: Sequence[bytes], *, sockets: bool) -> str:
    """The chains for the addresses of one family, as iptables-restore --noflush takes them; the jumps are not in it."""
    lines: list[str] = []
    for table in ("raw", "filter"):
        lines.append(f"*{table}")
        lines += (f":{chain} - [0:0]" for where, _, chain in JUMPS if where == table)
        for address in addresses:
            lines += (f"-A {rule}" for rule in (_raw if table == "raw" else _filter)(address, sockets=sockets))
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def removal(table: str) -> str:
    """What removes our chains of a table, once no rule jumps to them."""
    chains = [chain for where, _, chain in JUMPS if where == table]
    lines = [f"*{table}", *(f":{chain} - [0:0]" for chain in chains), *(f"-X {chain}" for chain in chains), "COMMIT"]
    return "\n".join(lines) + "\n"


def _raw(address: bytes, *, sockets: bool) -> Iterator[str]:
    text = address_text(address)
    own, before, out = f"-s {text} -d {text} -p udp", JUMPS[0][2], JUMPS[1][2]
    alive = f"-m recent --name {LIST} --rcheck --rdest --seconds {SECONDS} --hitcount {LIVENESS.enough}"
    yield f"{out} {own} --sport {PORT} -m recent --name {LIST} --set --rsource"
    yield f"{out} {own} --dport {PORT} {NOTRACK}"
    yield f"{out} {own} --dport {PORT} -j RETURN"
    yield f"{before} -i lo {own} --dport {PORT} {NOTRACK}"
    yield f"{before} -i lo {own} --dport {PORT} -j RETURN"
    for protocol in ("udp", "tcp"):
        yield f"{out} -s {text} -p {protocol} --sport {PORT} {NOTRACK}"
        yield f"{before} -i lo -s {text} -p {protocol} --sport {PORT} {NOTRACK}"
        asked = f"-d {text} -p {protocol} --dport {PORT} {alive}"
        yield f"{out} {asked} {NOTRACK}"
        yield f"{before} {asked} {SOCKET} {NOTRACK}" if sockets else f"{before} {asked} {NOTRACK}"


def _filter(address: bytes, *, sockets: bool) -> Iterator[str]:
    text = address_text(address)
    for protocol in ("udp", "tcp"):
        yield f"{JUMPS[2][2]} ! -s {text} -d {text} -p {protocol} ! --dport {PORT} -j REJECT"


def widths(addresses: Iterable[bytes]) -> list[int]:
    """The families among addresses, as octets of an address."""
    return sorted({len(address) for address in addresses})
