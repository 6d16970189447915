"""The cluster's DNS as one thing that can be asked: its server, its Corefile, its chain. Pure but for plugins."""

from functools import cached_property
from typing import Final

from kdns.config.settings import KubernetesOptions
from kdns.dns.plugins import kubernetes
from kdns.explain.cluster import Cluster
from kdns.explain.dns.config import CorefileSource, Server, dns_service, find_corefile, find_server
from kdns.explain.dns.corefile import PlannedBlock, ReadCorefile, read_corefile
from kdns.explain.dns.dry_run import Asked, DryRun
from kdns.explain.evidence import Evidence
from kdns.explain.objects import Body
from kdns.records.schema import is_reverse
from kdns.wire.reverse import zone_names

DOMAIN: Final = "cluster.local."


class ClusterDns:
    """What answers the cluster's names; every part is made when it is first asked for."""

    def __init__(self, cluster: Cluster, evidence: Evidence) -> None:
        self.cluster, self.evidence = cluster, evidence

    @cached_property
    def service(self) -> Body | None:
        """The Service of the usual name."""
        return dns_service(self.cluster.objects)

    @cached_property
    def server(self) -> Server:
        """The software behind that Service."""
        return find_server(self.cluster.objects, self.service)

    @cached_property
    def source(self) -> CorefileSource | None:
        """Its Corefile; None if that is not in the evidence."""
        return find_corefile(self.cluster.objects, self.evidence.corefile, self.server)

    @cached_property
    def corefile(self) -> ReadCorefile:
        """What could be read of it."""
        return read_corefile(self.source) if self.source is not None else ReadCorefile()

    @cached_property
    def chain(self) -> DryRun:
        """The chain, to be asked."""
        return DryRun(self.corefile.blocks, self.cluster.answers)

    def plugin(self, name: str) -> tuple[PlannedBlock, object] | None:
        """The first server block with a plugin, and the plugin's options."""
        for block in self.corefile.blocks:
            for step in block.plan.steps:
                if step.name == name:
                    return block, step.options
        return None

    @cached_property
    def options(self) -> KubernetesOptions:
        """Of the first ``kubernetes`` with a forward zone; its defaults if there is none."""
        for block in self.corefile.blocks:
            options = block.plan.options(kubernetes.NAME)
            if isinstance(options, KubernetesOptions) and _forward_zones(options):
                return options
        return KubernetesOptions()

    @property
    def domain(self) -> str:
        """The cluster's domain, with its final dot."""
        return (*_forward_zones(self.options), DOMAIN)[0]

    def ask(self, name: str, rtype: int, *, client: str = "", local: str = "", port: int = 53) -> Asked:
        """What the server would answer, see `DryRun.ask`."""
        return self.chain.ask(name, rtype, client=client, local=local, port=port)


def _forward_zones(options: KubernetesOptions) -> list[str]:
    return [zone for zone in options.zones if not any(is_reverse(apex) for apex in zone_names(zone))]
