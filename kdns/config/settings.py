"""What an operator can decide, as typed values with their defaults.

The command line and the Corefile fill the same ones. Durations are seconds.
"""

from typing import Literal

from msgspec import Struct

PodMode = Literal["disabled", "insecure", "verified"]


class ApiOptions(Struct, frozen=True, kw_only=True):
    """The API server that a Corefile names; without endpoint and kubeconfig it is that of the command line."""

    endpoint: str = ""
    """Its URL."""
    certificate: str = ""
    """Files in PEM form, all three or none: the client's certificate, its key, and the CA of the server's."""
    key: str = ""
    ca: str = ""
    kubeconfig: str = ""
    """A file; it wins over the endpoint."""
    context: str = ""
    """Of the kubeconfig; empty: the current one."""
    qps: float = 0.0
    """Requests a second; 0 means no limit. The same holds for the next two."""
    burst: int = 0
    """Requests that may come at once before qps counts."""
    inflight: int = 0
    """Requests that wait for a reply at once."""


class KubernetesOptions(Struct, frozen=True, kw_only=True):
    """The ``kubernetes`` plugin's options, with the meaning and defaults they have in CoreDNS."""

    zones: tuple[str, ...] = ("cluster.local.", "in-addr.arpa.", "ip6.arpa.")
    """Forward and reverse zones; a CIDR such as 10.96.0.0/12 stands for its reverse zones.
    The first forward zone is the primary one: reverse names point into it."""
    ttl: int = 5
    """Of all records but dns-version; 0 to 3600."""
    pods: PodMode = "disabled"
    endpoint_pod_names: bool = False
    """Name endpoints without a hostname after their Pod instead of their address."""
    namespaces: tuple[str, ...] = ()
    """Only these are exposed; empty means all."""
    namespace_labels: str = ""
    """Only Namespaces that this label selector picks are exposed."""
    labels: str = ""
    """Only Services, EndpointSlices and Pods that this label selector picks are seen."""
    endpoints: bool = True
    """False (``noendpoints``): do not follow EndpointSlices; headless Services and endpoints have no names then."""
    ignore_empty_service: bool = False
    """A cluster IP Service without a ready endpoint does not exist."""
    fallthrough: tuple[str, ...] | None = None
    """Zones in which a name that does not exist goes on to the next plugin; ``(".",)`` means all, None none."""
    zonal: bool = False
    """Headless Services have names for their endpoints in one topology zone."""
    multicluster: tuple[str, ...] = ()
    """Those of the zones whose names are of ServiceImports: the Services of several clusters."""
    external: bool = False
    """Keep how Services are reached from outside the cluster: there is a ``k8s_external`` beside this."""
    by_client: bool = False
    """Keep which Pod an address is of: there is an ``autopath`` or ``metadata`` beside this."""
    clients: str = ""
    """A node, such as this one: its Pods are followed, so that it is known who asks; empty: they are not."""
    explain: bool = False
    """Say in an extended error (RFC 8914) why there is no such name, to clients that may know."""
    labelled: bool = False
    """Keep the labels of Pods: there is a ``metadata`` beside this."""
    routed: bool = False
    """Keep how traffic for Services goes, and endpoints that are not ready: there is a ``status`` beside this."""
    startup_timeout: float = 5.0
    """How long start-up waits for the first complete lists before it serves what there is."""
    api: ApiOptions = ApiOptions()


class ServeSettings(Struct, frozen=True, kw_only=True):
    """All settings of `kdns serve`.

    With a Corefile, ``listen``, ``kubernetes``, ``health``, ``ready``, ``metrics`` and ``lameduck`` are what that says.
    """

    corefile: str = ""
    """Its path, or ``stdin``; empty: there is none."""
    plugins: str = ""
    """A folder with more plugins."""
    quiet: bool = False
    """Do not print what is served."""
    source: str = ""
    """``cluster``, ``kubeconfig[:PATH[@CONTEXT]]``, a path, or ``-``; empty is ``cluster``."""
    listen: tuple[str, ...] = ("",)
    """Addresses to bind; the empty text is every address of both families."""
    port: int = 53
    kubernetes: KubernetesOptions = KubernetesOptions()
    shortnames: bool = False
    """Answer ``service.namespace`` as it stands, too."""
    health: str = ":8080"
    """ADDRESS:PORT of /health; empty switches it off. So for the next two."""
    ready: str = ":8181"
    metrics: str = ":9153"
    status: str = ""
    """Of the status pages; off unless it is asked for."""
    lameduck: float = 0.0
    """After SIGTERM, how long queries are still answered while readiness says no."""
    watch_timeout: float = 150.0
    """A watch that is silent this long is given up: bookmarks come about once a minute."""
    snapshot: str = ""
    """A folder for what is known of the cluster, to be served after a restart; empty: it is not kept."""
    log_format: Literal["text", "json"] = "text"
