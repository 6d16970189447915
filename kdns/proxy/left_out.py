"""What of a Service is not programmed, and why: a value beside the rule set. Pure.

It is made where the reason is known (service ports, endpoints, conflicts, the kernel). Log lines and Events are made of
it in one place, `kdns.proxy.report`.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from kdns.proxy.model import ServicePortName

NAMED: Final = 3
"""Values that one message names; it says how many more there are."""

Reason = Literal[
    "AddressLeftOut",
    "EndpointsLeftOut",
    "ExternalIPsSwitchedOff",
    "FrontendTaken",
    "HealthCheckPortTaken",
    "RulesRefused",
    "SourceRangesLeftOut",
    "UnknownProtocol",
]
"""In CamelCase, as Events have it."""


class LeftOut(NamedTuple):
    """One thing."""

    reason: Reason
    message: str
    addresses: tuple[bytes, ...] = ()
    """Packed: of the frontends or endpoints that it is about."""
    port: ServicePortName | None = None
    """The service port that it is about; None: every one of the Service."""


def listed(texts: Sequence[str]) -> str:
    """The first few of them, for a message."""
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(texts[:NAMED]) + more
