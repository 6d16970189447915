"""The rules as a script for nft: one table for both families. Pure.

::

    prerouting, output  raw   questions to an address that is alive, and all that the local server sends: not tracked
    output              raw   the server's answer to its own question puts the address into `alive` for 300 ms
    input                 0   other ports of the address are refused, as if it were not local

What the local server sends is never tracked, whatever the set holds: a reply sent just after the element had expired
would make a flow that takes the client's next question back to a server that does not answer.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from kdns.base.objects import address_text
from kdns.nodelocal.liveness import Liveness
from kdns.nodelocal.plan import PORT

TABLE: Final = "kdns-local-dns"
ALIVE_MS: Final = 300
"""An address is alive so long after the last answer."""
LIVENESS: Final = Liveness(every=0.08, within=ALIVE_MS / 1000)
"""Three questions may be lost."""
SOCKET: Final = "socket transparent 0"
"""Only where a socket takes the packet: a server that was killed loses nothing but what it had received. A kernel may
be without (nft_socket)."""
_TRANSPORT: Final = "meta l4proto { tcp, udp }"


def script(addresses: Sequence[bytes], *, sockets: bool) -> str:
    """The commands that make the table, instead of one that is there. ``sockets``: match `SOCKET`, too."""
    families = {"ip": [a for a in addresses if len(a) == 4], "ip6": [a for a in addresses if len(a) == 16]}
    lines = [*removal().splitlines(), f"add table inet {TABLE}"]
    for hook, priority in (("prerouting", "raw"), ("output", "raw"), ("input", "filter")):
        lines.append(f"add chain inet {TABLE} {hook} {{ type filter hook {hook} priority {priority} ; }}")
    for ip, some in families.items():
        if some:
            kind = "ipv4_addr" if ip == "ip" else "ipv6_addr"
            flags = f"flags dynamic, timeout ; timeout {ALIVE_MS}ms ; size 64"
            lines.append(f"add set inet {TABLE} alive-{ip} {{ type {kind} ; {flags} ; }}")
            lines += (f"add rule inet {TABLE} {rule}" for rule in _rules(ip, some, sockets=sockets))
    return "\n".join(lines) + "\n"


def removal() -> str:
    """The commands that remove the table, whether it is there or not."""
    return f"add table inet {TABLE}\ndelete table inet {TABLE}\n"


def _rules(ip: str, addresses: Iterable[bytes], *, sockets: bool) -> Iterator[str]:
    texts = [address_text(address) for address in addresses]
    every = "{ " + ", ".join(texts) + " }"
    for text in texts:  # the heartbeat: it never takes the way around, for it asks whether the local server answers
        own = f"{ip} saddr {text} {ip} daddr {text}"
        yield f"output {own} udp sport {PORT} update @alive-{ip} {{ {ip} saddr timeout {ALIVE_MS}ms }}"
        yield f"output {own} udp dport {PORT} notrack accept"
        yield f'prerouting iifname "lo" {own} udp dport {PORT} notrack accept'
    yield f"output {ip} saddr {every} {_TRANSPORT} th sport {PORT} notrack accept"
    yield f'prerouting iifname "lo" {ip} saddr {every} {_TRANSPORT} th sport {PORT} notrack accept'
    alive = f"{ip} daddr @alive-{ip} {_TRANSPORT} th dport {PORT}"
    yield f"output {alive} notrack"
    yield f"prerouting {alive} {SOCKET} notrack" if sockets else f"prerouting {alive} notrack"
    yield f"input {ip} saddr != {every} {ip} daddr {every} {_TRANSPORT} th dport != {PORT} reject"
