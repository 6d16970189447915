"""How much a query, a change and a cluster cost: kdns beside other servers, in one run on one machine.

::

    __main__   what was asked for -> sections, tables, targets met or missed, docs/benchmarks.md
    queries    sets of questions with what the answer must be      plan     names and addresses of the test cluster
    peers      starts knotd, nsd and kdns with the same names      flood    a client that saturates a server
    forwarders starts dnsmasq, unbound and kdns with one upstream  upstream who they ask
    forwarding names outside: cached, not, far away, 64 kB         stream_upstream    the same over TCP and TLS
    observers  what top and log cost a question                    paced    one question at a time
    dnsperf    the client everybody knows                          rounds   interleaved rounds -> medians and ratios
    apiserver  an API server that only sends prepared lines        cluster  sync, memory, relist, change -> answer
    service_path, path_worker, first_packet, flows_worker    rules written and changed, first packets, stale flows
    node_dns, steady    DNS of `kdns node` while its proxy writes 10,000 Services, under a steady stream of questions
    status_pages  the pages for people, at 10,000 Services
    machine    CPU time, memory, pinning, namespaces, cgroups      report   tables for people

Nothing in here is a test: figures are printed, never asserted, since they belong to one machine.
"""
