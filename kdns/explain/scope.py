"""What of a large dump one question needs. Pure.

::

    Services, Namespaces, Nodes, ConfigMaps, DaemonSets...   all of them: names may be wrong, addresses may be taken
    slices, Pods, policies, other workloads                  of the Namespaces that the question or the Corefile names,
                                                             of DNS, and of the Services that are meant

Besides, from anywhere: Pods and slices that have an address of the question, and Pods that a Service which is meant
would select. `kdns explain --source cluster` lists the same Namespaces.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from kdns.explain.dns_service import NAMESPACES, dns_services
from kdns.explain.model import Question
from kdns.explain.objects import Body, Objects, field, key_of, labels_of, maps
from kdns.explain.target import addresses_of
from kdns.watch.manifests.headers import Header

NARROW: Final = frozenset({
    "Deployment", "EndpointSlice", "Endpoints", "Job", "NetworkPolicy", "Pod", "ReplicaSet", "ReplicationController",
    "StatefulSet",
})  # fmt: skip
"""Kinds of which only some Namespaces are read."""
BY_ADDRESS: Final = frozenset({"EndpointSlice", "Endpoints", "Pod"})
PROXY_NAME: Final = "service.kubernetes.io/service-proxy-name"
WORD: Final = re.compile(r"[a-z0-9][-a-z0-9]*")


class Scope(NamedTuple):
    """Which objects of a list are wanted."""

    namespaces: frozenset[str]
    texts: tuple[bytes, ...] = ()
    """Of Pods and slices elsewhere: those that have an address; as it stands in them."""
    selectors: tuple[Mapping[str, str], ...] = ()
    """Of Pods elsewhere: those that one of them selects."""
    proxies: tuple[bytes, ...] = ()
    """Of workloads elsewhere: those that name another Service proxy."""

    def wants(self, header: Header, item: bytes) -> bool:
        """Whether an item of a list is needed."""
        if header.kind not in NARROW or (header.namespace or "default") in self.namespaces:
            return True
        if header.kind in BY_ADDRESS:
            if any(text in item for text in self.texts):
                return True
            return header.kind == "Pod" and any(one.items() <= header.labels.items() for one in self.selectors)
        return header.kind == "Deployment" and any(text in item for text in self.proxies)


def scope_of(question: Question, services: Objects, corefile: str, resolvers: Iterable[str]) -> Scope:
    """Of a question, among all Services; ``resolvers`` are the texts of files called resolv.conf."""
    meant = list(_meant(question, services))
    names = {*_words(question), *NAMESPACES, "default", *WORD.findall(corefile)}
    names |= {word for text in resolvers for word in WORD.findall(text)}
    names |= {key_of(body).namespace for body in (*meant, *dns_services(services))}
    while more := {label for label in _external(services, names) if label not in names}:
        names |= more
    selectors = (selector_of(body) for body in meant)
    named = {labels_of(body)[PROXY_NAME] for body in meant if PROXY_NAME in labels_of(body)}
    return Scope(
        frozenset(names),
        tuple(dict.fromkeys(text.encode() for text in _addresses(question))),
        tuple(selector for selector in selectors if selector),
        tuple(sorted(name.encode() for name in named)),
    )


def selector_of(service: Body) -> dict[str, str]:
    """spec.selector."""
    return {str(key): str(value) for key, value in field(service, "spec.selector", {}).items()}


def _words(question: Question) -> Iterator[str]:
    """Every label that may be a Namespace."""
    yield question.namespace
    yield question.client.namespace
    yield from question.target.name.rstrip(".").lower().split(".")


def _addresses(question: Question) -> Iterator[str]:
    yield from (text for text in (question.target.address, question.client.address) if text)


def _meant(question: Question, services: Objects) -> Iterator[Body]:
    """The Services that have the address or the node port, or one of the labels as their name."""
    target, words = question.target, set(_words(question))
    for body in services.all("Service"):
        ports = maps(body, "spec.ports")
        by_port = target.port is not None and any(port.get("nodePort") == target.port for port in ports)
        by_address = target.address and (target.address in addresses_of(body) or by_port)
        if by_address or (target.name and key_of(body).name in words):
            yield body


def _external(services: Objects, namespaces: Iterable[str]) -> Iterator[str]:
    """Labels of the names that ExternalNames in these Namespaces lead to."""
    for namespace in list(namespaces):
        for body in services.all("Service", namespace):
            yield from WORD.findall(field(body, "spec.externalName", "").lower())
