"""A question with everything that is known: what each link is given."""

from functools import cached_property

from msgspec.structs import replace

from kdns.base.errors import ConfigError
from kdns.config.kubeproxy.parsing import parse_kubeproxy
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.config.settings import KubernetesOptions
from kdns.explain.asking import Asked, ask, ask_server
from kdns.explain.client import ClientSide, client_side
from kdns.explain.cluster import Cluster
from kdns.explain.dns.cluster_dns import ClusterDns
from kdns.explain.dns_service import cluster_ips, dns_services
from kdns.explain.evidence import Evidence
from kdns.explain.kernel.node import NodeKernel
from kdns.explain.model import Link, Question
from kdns.explain.objects import Body, Objects, field, key_of, maps
from kdns.explain.proxy_config import find_proxy_config
from kdns.explain.target import Meaning, find_by_address, meaning_of, pod_addresses
from kdns.records.answers import Answers

DOMAIN = "cluster.local"
"""The usual domain, where nothing names another one."""


class Case:
    """One question, its evidence, and what kdns makes of that; what is expensive is made when it is first asked for."""

    def __init__(self, question: Question, evidence: Evidence, cluster: Cluster) -> None:
        self.evidence, self.cluster = evidence, cluster
        self.question = _with_namespace(question, cluster.objects)
        evidence.proxy_config = evidence.proxy_config or find_proxy_config(self.objects)
        self.proxy_settings = ProxySettings()
        """Of the Service proxy; its configuration's, once that has been read."""
        self.proxy_problem = "" if evidence.proxy_config else "no configuration of the proxy"
        self._read_proxy_config()
        self.question = _with_protocol(self.question, self.service)
        self._kernels: dict[str, NodeKernel] = {}

    def kernel(self, node: str) -> NodeKernel:
        """What the evidence has of a node's kernel, read once."""
        if node not in self._kernels:
            self._kernels[node] = NodeKernel(node, self.evidence.nodes.get(node, {}))
        return self._kernels[node]

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
    def dns_services(self) -> list[Body]:
        """The Services of cluster DNS, the one that Pods are pointed at first."""
        return dns_services(self.objects)

    @cached_property
    def dns_addresses(self) -> list[str]:
        """The cluster IPs of the first of them; empty if they are not known."""
        return next((addresses for body in self.dns_services if (addresses := cluster_ips(body))), [])

    @property
    def domain_known(self) -> bool:
        """Whether the evidence says which domain the cluster has."""
        return bool(self.dns.corefile.blocks)

    @cached_property
    def domain(self) -> str:
        """The cluster's domain: of the Corefile, of a Pod's resolv.conf, of the target; else the usual one."""
        if self.domain_known:
            return self.dns.domain.rstrip(".").lower()
        for files in self.evidence.pods.values():
            file = files.get("resolv.conf")
            for line in file.text.splitlines() if file else ():
                for word in line.split()[1:] if line.startswith("search") else ():
                    if word.startswith("svc."):
                        return word.removeprefix("svc.").rstrip(".").lower()
        labels = self.question.target.name.rstrip(".").lower().split(".")
        typed = next((".".join(labels[at + 1 :]) for at in (2, 3) if labels[at : at + 1] == ["svc"]), "")
        return typed or DOMAIN

    @cached_property
    def answers(self) -> Answers:
        """The cluster's names."""
        options = self.options
        if not self.domain_known:
            options = replace(options, zones=(f"{self.domain}.", "in-addr.arpa.", "ip6.arpa."))
        return self.cluster.answers(options)

    def ask(self, name: str, rtype: str) -> Asked:
        """What the cluster's DNS answers to a question for an absolute name."""
        if self.domain_known:
            return ask_server(self.dns, self.answers, name, rtype, self.client_address)
        return ask(self.answers, name, rtype)

    @cached_property
    def client_address(self) -> str:
        """Where a DNS question comes from; of a client that is not named, the first Pod of its Namespace."""
        who = self.question.client
        if who.address:
            return who.address
        if who.kind == "node":
            node = self.objects.get("Node", "", who.name) or {}
            inside = (entry for entry in maps(node, "status.addresses") if entry.get("type") == "InternalIP")
            return next((str(entry.get("address", "")) for entry in inside), "")
        if who.kind == "pod":
            pods = [self.client.pod] if self.client.pod is not None else []
        else:
            pods = list(self.objects.all("Pod", who.namespace or self.question.namespace))
        return next((address for pod in pods for address in pod_addresses(pod)), "")

    @property
    def rtypes(self) -> tuple[str, ...]:
        """The types that the client asks for: A and AAAA, or the one that was named."""
        rtype = self.question.target.rtype
        return (rtype,) if rtype else ("A", "AAAA")

    @cached_property
    def client(self) -> ClientSide:
        """Who asks, with the resolv.conf that it has."""
        return client_side(
            self.question.client, self.question.namespace, self.evidence, self.dns_addresses, self.domain
        )

    @cached_property
    def meaning(self) -> Meaning:
        """What the target is about."""
        return meaning_of(self.question.target, self.question.namespace, self.domain, self.objects)

    @cached_property
    def service(self) -> Body | None:
        """The Service that the target names, or whose address it is; None if there is none."""
        if self.meaning.kind == "address":
            return find_by_address(self.question.target, self.objects)
        if self.meaning.kind not in {"service", "endpoint"}:
            return None
        return self.objects.get("Service", self.meaning.namespace, self.meaning.service)

    @property
    def headless(self) -> bool:
        """True for a Service without a cluster IP, whose clients connect to its Pods themselves."""
        return self.service is not None and field(self.service, "spec.clusterIP", "") == "None"

    @cached_property
    def service_ports(self) -> list[Body]:
        """The ports of the Service that were asked for: all of them, if none was."""
        if self.service is None:
            return []
        target, ports = self.question.target, maps(self.service, "spec.ports")
        if target.port is None:
            return ports
        by_node = self.meaning.kind == "address" and target.address not in cluster_ips(self.service)
        names = ("port", "name", "nodePort") if by_node else ("port", "name")
        asked = [port for port in ports if any(port.get(name) == target.port for name in names)]
        return [port for port in asked if port.get("protocol", "TCP") == target.protocol] or asked

    @cached_property
    def way(self) -> frozenset[Link]:
        """The links that the question goes through."""
        links: set[Link] = set()
        target, who = self.question.target, self.question.client.kind
        if who != "outside":
            links |= {Link.CLIENT}
            if target.name:
                links |= {Link.SEARCH, Link.DNS_PATH, Link.DNS_SERVER}
        if self.meaning.kind == "outside":
            return frozenset(links)
        if target.name:
            links |= {Link.NAME}
        if self.meaning.kind == "pod":
            return frozenset(links)
        if self.service is None:
            return frozenset(links | ({Link.SERVICE} if target.address else set()))
        links |= {Link.SERVICE}
        if field(self.service, "spec.type") == "ExternalName":
            return frozenset(links)
        links |= {Link.ENDPOINTS, Link.POLICY, Link.POD}
        return frozenset(links if self.headless else links | {Link.RULES, Link.FLOW})

    def _read_proxy_config(self) -> None:
        file = self.evidence.proxy_config
        if file is None:
            return
        self.proxy_problem = file.problem
        try:
            if not file.problem:
                self.proxy_settings, _ = parse_kubeproxy(file.text, file.path)
        except ConfigError as error:
            self.proxy_problem = str(error)


def _with_namespace(question: Question, objects: Objects) -> Question:
    """Where no Namespace was given, that of the only Service that a short name or an address can mean."""
    target = question.target
    if question.namespace_given or question.client.kind == "pod":
        return question
    if target.address:
        service = find_by_address(target, objects)
        places = [key_of(service).namespace] if service else []
    elif "." in target.name or objects.get("Service", question.namespace, target.name):
        return question
    else:
        places = [key.namespace for key in map(key_of, objects.all("Service")) if key.name == target.name]
    if len(places) != 1:
        return question
    client = question.client
    client = replace(client, namespace=places[0]) if client.kind == "any" else client
    return replace(question, client=client, namespace=places[0])


def _with_protocol(question: Question, service: Body | None) -> Question:
    """Where no protocol was given, that of the Service's port, if its Pods are not known to speak TCP there."""
    target = question.target
    if service is None or target.protocol_given or target.port is None:
        return question
    ports = [
        port
        for port in maps(service, "spec.ports")
        if target.port in (port.get("port"), port.get("name"), port.get("nodePort"))
    ]
    protocols = {str(port.get("protocol") or "TCP") for port in ports}
    if not protocols or "TCP" in protocols:
        return question
    return replace(question, target=replace(target, protocol=min(protocols)))
