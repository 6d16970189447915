"""Where each address of the tests comes from, so that a literal in a case can be read at a glance.

::

    10.96.0.0/12        cluster IPs          10.96.0.1 kubernetes.default, 10.96.0.10 kube-dns
    fd00:10:96::/112    cluster IPs, IPv6    fd00:10:96::a kube-dns
    10.244.0.0/16       Pods                 10.244.N.0/24 on node N
    fd00:10:244::/56    Pods, IPv6           fd00:10:244:N::/64 on node N
    192.0.2.0/24        the world outside    never an object of the cluster
    2001:db8::/32       the world outside, IPv6
"""

from typing import Final

SERVICES: Final = "10.96.0.0/12"
SERVICES_6: Final = "fd00:10:96::/112"
PODS: Final = "10.244.0.0/16"
PODS_6: Final = "fd00:10:244::/56"
OUTSIDE: Final = "192.0.2.0/24"
OUTSIDE_6: Final = "2001:db8::/32"

KUBERNETES: Final = "10.96.0.1"
KUBE_DNS: Final = "10.96.0.10"
KUBE_DNS_6: Final = "fd00:10:96::a"

NOW: Final = 1_700_000_000
"""Unix seconds of every change in a case that does not say otherwise: the SOA serial."""
