"""What kdns itself makes of the objects: the answers of its DNS and the rules of its proxy. Pure.

Explain never decides again what they decide: it asks them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from kdns.base.objects import (
    Change,
    Network,
    Node,
    NodeChange,
    ObjectKey,
    ServiceChange,
    ServiceCIDRChange,
    ServiceView,
)
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.config.settings import KubernetesOptions
from kdns.dns.plugins.kubernetes import schema_of
from kdns.explain.objects import Body, Objects
from kdns.proxy.decisions import Decisions, decided
from kdns.proxy.model import Family
from kdns.proxy.node_policy import node_policy
from kdns.records.answers import Answers
from kdns.watch.follower import proxy_wants, wants
from kdns.watch.manifests.collection import Collection, collect, gather
from kdns.watch.manifests.manifest import Manifests
from kdns.watch.manifests.selection import Selection
from kdns.watch.source import ListComplete, Listing, Upserted, Want
from kdns.watch.store import Store

KINDS = frozenset({
    "ConfigMap", "DaemonSet", "Deployment", "Endpoints", "Job", "NetworkPolicy", "ReplicaSet", "ReplicationController",
    "StatefulSet",
})  # fmt: skip
"""What explain reads besides the objects of DNS and the proxy."""


class Cluster:
    """The objects of the evidence, whole and as kdns sees them."""

    def __init__(self, files: Mapping[str, Manifests], passed_over: Iterable[tuple[str, str]] = ()) -> None:
        """``files`` were parsed with ``also=KINDS``; ``passed_over``: kind and Namespace of what they have besides."""
        self.objects = Objects(_bodies(files))
        """As they were written."""
        self.collection: Collection = collect(files, keep_bodies=True)
        """With what a cluster would have made of them: addresses, Pods, slices."""
        for manifest in self.collection.objects.values():
            if manifest.body is not None:
                self.objects.add(manifest.body)
        for kind, namespace in passed_over:
            self.objects.pass_over(kind, namespace)

    def answers(self, options: KubernetesOptions) -> Answers:
        """The names of the cluster as a server with these options has them. Raises ConfigError for bad options."""
        answers = Answers(schema_of(options))
        for change in self._changes(wants(options)):
            answers.apply(change, 0)
        answers.synced = True
        return answers

    @cached_property
    def views(self) -> Mapping[ObjectKey, ServiceView]:
        """Each Service of the proxy with its endpoints."""
        changes = self._changes(proxy_wants(""))
        return {
            change.key: change.after
            for change in changes
            if isinstance(change, ServiceChange) and change.after is not None
        }

    def node(self, name: str) -> Node | None:
        """A Node as the proxy reads it."""
        return self._nodes.get(name)

    @cached_property
    def _nodes(self) -> Mapping[str, Node]:
        changes = self._changes([Want("Node")])
        return {change.key.name: change.after for change in changes if isinstance(change, NodeChange) and change.after}

    def decisions(
        self, settings: ProxySettings, node_name: str, interfaces: Iterable[bytes] = ()
    ) -> dict[Family, Decisions]:
        """What a node's proxy decides: rule sets, and what is left out. ``interfaces``: the node's addresses."""
        node = self.node(node_name)
        addresses = tuple(interfaces) or (node.addresses if node else ())
        return {
            family: decided(self.views, node_policy(settings, family, node, node_name, addresses, self.service_cidrs))
            for family in Family
        }

    @cached_property
    def service_cidrs(self) -> tuple[Network, ...]:
        """Of every ServiceCIDR."""
        changes = self._changes([Want("ServiceCIDR", optional=True)])
        known = [
            change.after for change in changes if isinstance(change, ServiceCIDRChange) and change.after is not None
        ]
        return tuple(cidr for service_cidr in known for cidr in service_cidr.cidrs)

    def _changes(self, wanted: Sequence[Want]) -> Iterator[Change]:
        """What a follower of these kinds would be given, once everything is listed."""
        store = Store()
        for kind, objects in Selection(wanted).pick(self.collection).items():
            store.apply(Listing(kind))
            for kept in objects.values():
                store.apply(Upserted(kept))
            store.apply(ListComplete(kind))
        return store.changes()


def _bodies(files: Mapping[str, Manifests]) -> Iterator[Body]:
    """Every object as it was written, each once."""
    gathered = gather(files)
    for manifest in gathered.objects.values():
        if manifest.body is not None:
            yield manifest.body
    for played in gathered.played.values():
        yield played.body
