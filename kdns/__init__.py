"""kdns: a Kubernetes cluster's DNS server.

One straight pipe: `watch` turns the cluster into objects and says which Service changed; `records` turns those into
RRsets and ready answers; `dns` sends them. Between the first and the last word of that sentence all is pure; only
`watch`, `dns`, `ops`, `follow`, `app`, `demo` and `cli` may wait, read a clock or open anything.

::

    cli           the commands: serve, check, demo, records, plugins, version
    demo/         an example cluster that ships with the package, and a server that shows itself
    app           composition root: settings -> parts -> one TaskGroup; the only file that knows all parts
    stop          signals; reloading: the Corefile read again
    serving       what is served now, and its exchange without losing a query
    blocks        server blocks, built: chains that answer
    assemble      a Corefile, or flags -> plans of server blocks
    parts         what plugins get from the server
    sources       a source of objects from its words
    clusters      one watch and one store for each cluster that blocks name; follow: events into answers
    ops/          logs, readiness, and HTTP: /health, /ready, /metrics
    dns/          questions in, answers out: responder, UDP, TCP, plugins
    watch/        the cluster, kept: the API client, the files, the store
    records/      objects -> RRsets -> answers, pure
    config/       what an operator can decide, as typed values
    wire/         a DNS message as the hot path sees it, pure
    objects       Kubernetes objects as small frozen structs, and what changed about them
    metrics       everything that is counted, under the names CoreDNS gave it
    aio           clock and back-off
    interfaces    the addresses of this machine
    early         signals, before everything else is imported
    errors        one class for each way to react

A line imports only lines below it; `dns` and `watch` are strangers, so are `records` and `config`, and `wire`,
`objects`, `metrics`, `aio` and `early`. Import-linter contracts in pyproject.toml see to that when the tests run.
"""

from typing import Final

__version__: Final = "0.1.0"
