"""The codes of `kdns explain`: one for each cause, with its title. Pure.

Programs and people refer to them: a code keeps its meaning for ever.
"""

from collections.abc import Mapping
from typing import Final

TITLES: Final[Mapping[str, str]] = {
    "E01": "no such Service",
    "E02": "the Service is in another Namespace",
    "E03": "the name is nearly that of a Service",
    "E04": "another cluster domain",
    "E05": "resolv.conf does not lead to the cluster's DNS, or not with this name",
    "E06": "the client uses its node's resolv.conf",
    "E07": "the DNS server hides the name from this client",
    "E08": "another name shadows this one",
    "E09": "the target of an ExternalName",
    "E10": "a headless Service without a name for this",
    "E11": "the DNS server's data is old",
    "E12": "a cached negative answer",
    "E13": "the answer does not fit, and TCP does not get through",
    "E14": "the answer for AAAA makes clients give up",
    "E15": "the upstream fails",
    "E16": "the DNS Service has no ready endpoint",
    "E17": "a NetworkPolicy",
    "E18": "connection tracking drops packets",
    "E19": "a flow to a DNS Pod that is gone",
    "E20": "kubernetes.default does not resolve",
    "E21": "the Service has no such port",
    "E22": "the target port",
    "E23": "another protocol",
    "E24": "the selector picks no Pod",
    "E25": "Pods are not ready",
    "E26": "Pods do not run",
    "E27": "the endpoint does not answer",
    "E28": "no address of that family",
    "E29": "EndpointSlices and Pods disagree",
    "E30": "session affinity to an endpoint that fails",
    "E31": "the Service proxy does not run, or stands still",
    "E32": "the kernel's rules are not what the objects ask for",
    "E33": "another program changed or overrides the rules",
    "E34": "a sysctl",
    "E35": "traffic policy Local without a local endpoint",
    "E36": "the source is not in loadBalancerSourceRanges",
    "E37": "hairpin traffic is not masqueraded",
    "E38": "an address that takes no node ports",
    "E39": "only terminating endpoints are left",
    "E40": "an old flow to an endpoint that is gone",
    "E41": "two proxies, or none, serve this Service",
    "E42": "the cluster IP",
    "E43": "by design nothing answers there",
}
