"""What the programs of a lab count: the metrics of its DNS servers and proxies, read from inside of it."""

import http.client
from collections.abc import Iterator
from typing import Final, NamedTuple

from kdns.lab.cluster import Cluster
from kdns.lab.fetching import fetch
from kdns.lab.kubelet import program_words
from kdns.lab.workloads import Json, key_of
from kdns.metrics.scraped import Scraped, families_of

DNS_PORT: Final = 9153
"""Of the plugin ``prometheus``, see manifests/."""
PROXY_PORT: Final = 10249
"""On each node's loopback, as kube-proxy's."""


class Place(NamedTuple):
    """Where a program's metrics are."""

    name: str
    node: str
    network: int
    at: tuple[tuple[str, int], ...]
    """Addresses and ports: of DNS, of the proxy, or of both."""


def scrape(cluster: Cluster, mode: str) -> list[Scraped]:
    """Read the metrics of every program of kdns that runs; ``mode`` is that of the proxies. Each takes milliseconds,
    or some seconds if it does not answer."""
    return [_scraped(place, mode) for place in places(cluster)]


def places(cluster: Cluster) -> Iterator[Place]:
    """Where to ask, ordered by node and name."""
    pods = [pod for pod in cluster.objects("Pod") if pod["spec"].get("nodeName") and program_words(pod)]
    for pod in sorted(pods, key=lambda pod: (str(pod["spec"]["nodeName"]), key_of(pod))):
        namespace, name = key_of(pod)
        node = pod["spec"]["nodeName"]
        at = tuple(_addresses(pod))
        if at and node in cluster.network.parts:
            yield Place(f"{namespace}/{name}", node, cluster.network.parts[node].network, at)


def _addresses(pod: Json) -> Iterator[tuple[str, int]]:
    command = program_words(pod)[0]
    if command != "proxy" and (address := pod.get("status", {}).get("podIP")):
        yield address, DNS_PORT
    if command in {"proxy", "node"}:
        yield "127.0.0.1", PROXY_PORT


def _scraped(place: Place, mode: str) -> Scraped:
    own_mode = mode if any(port == PROXY_PORT for _, port in place.at) else ""
    try:
        pages = [fetch(place.network, host, port, "/metrics") for host, port in place.at]
        families = tuple(family for _, text in pages for family in families_of(text))
    except (OSError, http.client.HTTPException, ValueError) as problem:
        return Scraped(place.name, place.node, own_mode, problem=f"its metrics could not be read: {problem}")
    return Scraped(place.name, place.node, own_mode, families)
