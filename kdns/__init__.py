"""kdns: the Service path of a Kubernetes cluster, from the name to the Pod.

One straight pipe with a fork. `watch` turns the cluster into objects and says which Service changed. `records` turns a
Service into RRsets and ready answers; `dns` sends them. `proxy` turns the same Service into one rule set; renderers
spell it, and appliers bring it into the kernel. Between the first and the last word of each sentence all is pure; only
`watch`, `dns`, ``proxy.kernel``, `ops`, `lab`, and what puts the parts together may wait, read a clock or open things.

::

    cli           the commands: serve, check, demo, records, plugins, version
    cli_proxy     and those about the Service data path: proxy, node, rules
    demo/         an example cluster that ships with the package, and a server that shows itself
    proxy_commands, node_command  what those do
    app           composition root of DNS: settings -> parts -> one TaskGroup
    proxy_app     composition root of the proxy, likewise
    appliers      the applier of each mode; proxy_reports: what follows from a round beside the rules
    stop          signals; reloading: the Corefile read again
    serving       what is served now, and its exchange without losing a query
    blocks        server blocks, built: chains that answer
    assemble      a Corefile, or flags -> plans of server blocks
    parts         what plugins get from the server
    sources       a source of objects from its words
    clusters      one watch and one store for each cluster that blocks name; follow: events into answers
    ops/          logs, readiness, and HTTP: probes, metrics, health checks of Services
    lab/          a cluster on one machine: nodes, Pods and clients as network namespaces
    dns/          questions in, answers out: responder, UDP, TCP, plugins
    proxy/        Services and endpoints in, rules in the kernel out
    watch/        the cluster, kept: the API client, the files, the store
    picking       which source a command reads
    records/      objects -> RRsets -> answers, pure
    config/       what an operator can decide, as typed values
    wire/         a DNS message as the hot path sees it, pure
    objects       Kubernetes objects as small frozen structs, and what changed about them
    metrics, metrics_proxy, cluster_counts   everything that is counted, under the names CoreDNS and kube-proxy gave it
    aio           clock and back-off
    interfaces    the addresses of this machine
    yaml_values   YAML, with its depth and its aliases bounded
    early         signals, before everything else is imported
    families      metric families from what is counted
    errors        one class for each way to react

A line imports only lines below it; `dns`, `proxy` and `watch` are strangers, so are `records` and `config`.
Import-linter contracts in pyproject.toml see to that when the tests run.
"""

from typing import Final

__version__: Final = "0.1.0"
