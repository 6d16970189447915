"""A change of a Service as it is remembered for a while, for people who look. Pure."""

from typing import Final, NamedTuple

from kdns.base.objects import ObjectKey
from kdns.metrics.cluster import Since

RECENT: Final = 30
"""Changes that a follower keeps."""


class Recent(NamedTuple):
    """A change of a Service that the consumers have taken."""

    key: ObjectKey
    at: float
    """Unix seconds."""
    gone: bool
    """The Service is deleted."""
    seconds: float | None
    """How long it took to be answered; None: that is not known, or names are not answered."""
    since: Since | None
    arrived: float | None
    """When the octets that say so came, by the clock of the counters; None: it was not measured."""
    applied: float
    """When every consumer had taken it, by the same clock: DNS answers with it from then on."""
