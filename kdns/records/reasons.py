"""Why there is no such record. A miss is a value: what looks a name up says here why it found nothing.

::

    Missing(Reason.SERVICE, labels=cart.shop) ──> rcode     NXDOMAIN; NODATA where the name exists; SERVFAIL while
                                              │             not everything is known
                                              ├─> object    Service shop/cart
                                              ├─> code      E01, as `kdns explain` prints it
                                              └─> str()     no Service cart in Namespace shop

Nothing else decides an rcode of the cluster's own names. A Missing is made for each question that finds nothing, so it
holds octets as they are at hand, and makes text of them only for those who read it.
"""

from enum import Enum
from typing import Final

from msgspec import Struct

from kdns.base.objects import Kind, ObjectKey, RecordSource
from kdns.wire.name import labels
from kdns.wire.numbers import NOERROR, NXDOMAIN, SERVFAIL


class Reason(Enum):
    """What is wrong with a name, or with what was asked of it; each has its rcode, code and sentence.

    In the sentences ``{0}`` and so on are the labels of the Missing, and ``{it}`` is its source.
    """

    # The name is not ours.
    OUTSIDE = (NXDOMAIN, "E04", "the name is in no zone of this server")
    NOT_A_NAME = (NXDOMAIN, "", "the octets are not a domain name")
    # The name exists (NODATA, RFC 2308 section 2.2).
    EMPTY = (NOERROR, "", "there are names below this one, and nothing at it")
    WRONG_TYPE = (NOERROR, "", "the name has no records of this type")
    FAMILY = (NOERROR, "E28", "{it} has no address of this family")
    NO_TARGET = (NOERROR, "E09", "{it}: the name it points at is an address or not a domain name")
    TOPOLOGY_ZONE = (NOERROR, "", "{it} has no ready endpoint in the zone {all}")
    # It does not (NXDOMAIN).
    SCHEMA = (NXDOMAIN, "", "the schema has no names of this form")
    NAMESPACE = (NXDOMAIN, "E01", "no Namespace {0}")
    NAMESPACE_NOT_EXPOSED = (NXDOMAIN, "E07", "the options `namespaces` or `namespace_labels` leave out Namespace {0}")
    SERVICE = (NXDOMAIN, "E01", "no Service {0} in Namespace {1}")
    SERVICE_IMPORT = (NXDOMAIN, "E01", "no ServiceImport {0} in Namespace {1}")
    BELOW_ALIAS = (NXDOMAIN, "", "{it} is of type ExternalName, which has no names below its own")
    NO_CLUSTER_IP = (NXDOMAIN, "", "{it} has no cluster IP")
    NO_PORTS = (NXDOMAIN, "", "{it} has neither ports nor is it headless")
    NOT_READY = (NXDOMAIN, "E10", "{it} is headless and has no ready endpoint")
    IGNORED = (NXDOMAIN, "E25", "{it} has no ready endpoint, and the option `ignore empty_service` leaves it out")
    NO_ENDPOINT = (NXDOMAIN, "E10", "{it} has no ready endpoint {all}")
    NO_PORT = (NXDOMAIN, "E21", "{it} has no port {0} with the protocol {1}")
    NOT_OUTSIDE = (NXDOMAIN, "", "{it} has no address outside of the cluster")
    PODS_DISABLED = (NXDOMAIN, "", "Pods have no names: the option `pods` is `disabled`")
    NOT_AN_ADDRESS = (NXDOMAIN, "", "the name does not spell an address")
    POD = (NXDOMAIN, "", "no Pod in Namespace {1} has the address {0}")
    ADDRESS = (NXDOMAIN, "", "no Service and no ready endpoint has this address")
    # It cannot be answered.
    LOOP = (SERVFAIL, "E09", "{it}: the chain of CNAMEs loops or is too long")

    def __init__(self, rcode: int, code: str, sentence: str) -> None:
        self.rcode = rcode
        """When everything is known."""
        self.code = code
        """As `kdns explain` prints it; empty where it has none."""
        self.sentence = sentence
        self.exists = rcode != NXDOMAIN
        """True if there is something at the name or below it."""


_LABELLED: Final[dict[Reason, Kind]] = {
    Reason.NAMESPACE: "Namespace",
    Reason.NAMESPACE_NOT_EXPOSED: "Namespace",
    Reason.SERVICE: "Service",
    Reason.SERVICE_IMPORT: "ServiceImport",
}


class Missing(Struct, frozen=True, gc=False):
    """One miss."""

    reason: Reason
    source: RecordSource | None = None
    """The object that is there, and lacks what was asked for."""
    labels: bytes = b""
    """The labels it is about, in wire form without the root: [service, namespace], [port, protocol], [endpoint]..."""

    @property
    def exists(self) -> bool:
        """True if there is something at the name, or below it: NODATA instead of NXDOMAIN."""
        return self.reason.exists

    def rcode(self, *, synced: bool) -> int:
        """What a client gets. Until everything is known, what would be NXDOMAIN is SERVFAIL."""
        rcode = self.reason.rcode
        return SERVFAIL if rcode == NXDOMAIN and not synced else rcode

    @property
    def object(self) -> RecordSource | None:
        """The object that is missing, or the one that lacks what was asked for; None where none is concerned."""
        kind = _LABELLED.get(self.reason)
        if kind is None:
            return self.source
        *name, namespace = self.words
        return ObjectKey(kind, namespace, name[0]) if name else ObjectKey("Namespace", "", namespace)

    @property
    def words(self) -> tuple[str, ...]:
        """The labels as text."""
        return tuple(part.decode("ascii", "backslashreplace") for part in labels(self.labels + b"\0"))

    def __str__(self) -> str:
        words = self.words
        return self.reason.sentence.format(*words, *("",) * (2 - len(words)), it=self.source, all=".".join(words))


OUTSIDE: Final = Missing(Reason.OUTSIDE)
NOT_A_NAME: Final = Missing(Reason.NOT_A_NAME)
EMPTY: Final = Missing(Reason.EMPTY)
SCHEMA: Final = Missing(Reason.SCHEMA)
ADDRESS: Final = Missing(Reason.ADDRESS)
NOT_AN_ADDRESS: Final = Missing(Reason.NOT_AN_ADDRESS)
PODS_DISABLED: Final = Missing(Reason.PODS_DISABLED)
