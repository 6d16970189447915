"""How a Service is reached from outside the cluster, as the API server writes it. Pure."""

from collections.abc import Callable, Sequence

from kdns.base.objects import Outside
from kdns.watch.decode.spelling import keep_addresses
from kdns.watch.decode.status import Wire


class ApiIngress(Wire):
    """Where a load balancer takes traffic in: an address, or else a name."""

    ip: str | None = None
    ip_mode: str | None = None
    """VIP: traffic comes with this address as its destination, which is the default; Proxy: it does not."""
    hostname: str | None = None


class ApiLoadBalancer(Wire):
    """Service.status.loadBalancer."""

    ingress: list[ApiIngress | None] | None = None


class ApiServiceStatus(Wire):
    """Service.status."""

    load_balancer: ApiLoadBalancer | None = None


def keep_outside(
    external_ips: Sequence[str | None], status: ApiServiceStatus | None, warn: Callable[[str], None] | None = None
) -> Outside:
    """spec.externalIPs, then each way into the load balancer by its address, or by its name if it has none.

    An invalid address is left out and reported to `warn`.
    """
    ways = (status.load_balancer.ingress if status and status.load_balancer else None) or ()
    addresses = keep_addresses((*external_ips, *(way.ip for way in ways if way)), "external address", warn)
    names = dict.fromkeys(way.hostname for way in ways if way and way.hostname and not way.ip)
    return Outside(addresses, tuple(names)) if addresses or names else Outside()
