"""kdns: the Service path of a Kubernetes cluster, from the name to the Pod.

One straight pipe with a fork. `watch` turns the cluster into objects and says which Service changed. `records` turns a
Service into RRsets and ready answers; `dns` sends them. `proxy` turns the same Service into one rule set; renderers
write it as text, and appliers bring it into the kernel. Everything between the first and the last word of each sentence
is a pure function of values; only `watch`, `dns`, `nodelocal`, `kernel`, ``config.load``, ``proxy.apply``,
``proxy.healthcheck``, `ops`, `lab` and the composition roots (``dns.server``, ``proxy.app``) may wait, read a clock or
open anything.

::

    cli/       the commands
    explain/   why a name or a port does not answer: the chain, link by link, with evidence
    status/    pages for people: what is served, the path of each Service drawn, why a name does not answer
    demo/      an example cluster that ships with the package, and a server that shows itself
    lab/       a cluster on one machine: nodes, Pods and clients as network namespaces
    preflight/ before kdns is installed: would it work here, and what would change
    dns/       questions in, answers out: transports, the query path, plugins, and the server that puts them together
    proxy/     Services and endpoints in, rules in the kernel out
    nodelocal/ DNS on the cluster's own DNS address, and the kernel's way around it when it does not answer
    watch/     the cluster, kept: the API server's client, manifests as a source, the store, the follower
    kernel/    netlink, addresses, sysctls, capabilities, tools: what proxy and lab share
    records/   objects -> RRsets -> answers
    config/    text -> typed values with positions: Corefile, KubeProxyConfiguration, YAML
    wire/      a DNS message as octets; the tables of types and rcodes
    ops/       HTTP ports, logs, the process, shutdown
    metrics/   everything that is counted, under the names CoreDNS and kube-proxy gave it
    base/      errors, objects, clock and back-off

Who may import whom: a line imports only lines below it, parts joined by ``|`` are strangers::

    cli
    explain | status | demo | lab | preflight
    dns | proxy | nodelocal
    watch | kernel
    records | config
    wire | ops
    metrics | base

Import-linter contracts in pyproject.toml check that when the tests run; each folder's docstring has the rest.
"""

from typing import Final

__version__: Final = "0.1.0"
