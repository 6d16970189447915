"""What the cluster's DNS server would answer: its Corefile, and our own chain built from it and asked.

::

    Deployment, Pods ──> which server, with which Corefile ──> plans ──> chain, each plugin watched ──> Asked
                                                                          └─ upstreams are recorded, not asked

Nothing is decided here again: blocks are chosen by the server's router, questions answered by the server's plugins.

- `cluster_dns`  all of it as one thing that can be asked
- `config`       which server runs, and the Corefile it was given
- `corefile`     a Corefile as plans; what kdns cannot read is left out, and named
- `dry_run`      the chain, asked without any upstream
- `watched`      plugins that write down what they do
- `differences`  where CoreDNS answers otherwise than kdns
- `logs`         lines of the log, and metrics, that say what is wrong
- `history`      what those and probes say of the past: old data, kept answers, failing upstreams
- `dns_endpoints`, `node_cache`  what is behind a nameserver's address (E16)
- `policies`, `large`, `basics`  port 53 (E17), TCP (E13), kubernetes.default (E20)
- `upstreams`    a `forward` line that leads back to the server
"""
