"""A question with everything that is known: what each link is given."""

from functools import cached_property

from kdns.config.kubeproxy.settings import ProxySettings
from kdns.config.settings import KubernetesOptions
from kdns.explain.cluster import Cluster
from kdns.explain.dns.cluster_dns import ClusterDns
from kdns.explain.evidence import Evidence
from kdns.explain.model import Question
from kdns.explain.objects import Body, Objects
from kdns.records.answers import Answers


class Case:
    """One question, its evidence, and what kdns makes of that; what is expensive is made when it is first asked for."""

    def __init__(self, question: Question, evidence: Evidence, cluster: Cluster) -> None:
        self.question, self.evidence, self.cluster = question, evidence, cluster
        self.proxy_settings = ProxySettings()
        """Of the Service proxy; its configuration's, once that has been read."""

    @property
    def objects(self) -> Objects:
        """The objects as they are."""
        return self.cluster.objects

    @cached_property
    def dns(self) -> ClusterDns:
        """The DNS server, its Corefile, and its chain to be asked."""
        return ClusterDns(self.cluster, self.evidence)

    @property
    def options(self) -> KubernetesOptions:
        """Of the kubernetes plugin that answers: the Corefile's, or the defaults."""
        return self.dns.options

    @cached_property
    def answers(self) -> Answers:
        """The cluster's names."""
        return self.cluster.answers(self.options)

    @cached_property
    def service(self) -> Body | None:
        """The Service that the target names, or whose address it is; None if there is none."""
        from kdns.explain.target import find_service  # noqa: PLC0415 - it takes a Case

        return find_service(self)
