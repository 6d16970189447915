"""Why a name or a port does not answer: from the client's resolv.conf to the Pod's port, link by link, with evidence.

::

    flags, files, cluster, kernel ──> evidence ─┐
                                                ├──> links (one file each) ──> findings ──> report ──> text | JSON
    TARGET, --from ──> question ────────────────┘

    model         Question, Finding, Report: what goes in and out. Pure.
    objects       the objects of the evidence, whole, with resource version and age: what people see with kubectl. Pure.
    evidence      everything that is known: objects, Corefile, the proxy's configuration, files of nodes, probes. Pure.
    codes         the codes E01 to E43, with a title each. Pure.

A link that was not checked is never reported as fine. What may live here: what answers that question, pure but for the
edge that reads evidence. What the server would answer is asked of the server's own chain, what the proxy would write is
taken from the proxy's own policy: explain decides neither again.

- `dns_kernel`  the way to DNS in the kernel of the client's node
- `bundle`   evidence from a folder or a tar.gz in the layout of `kdns collect`; `archive`: a tar, bounded
- `ages`     how old an object was when the evidence was collected
- `scope`, `reading`  what of a large dump a question needs, and objects from files
- `case`     A question with everything that is known: what each link is given
- `cluster`  what kdns itself makes of the objects: its names, and its proxy's rules
- `chain`, `links`  every link in order, one file each
- `run`, `text`  ``kdns explain``: evidence from files or a cluster, the chain, the report
- `target`, `near`  what a target means, and which Services are called nearly so
- `client`, `stub`  the resolv.conf that a client has, and what stub resolvers ask with it
- `collect`  ``kdns collect``: evidence as a tar.gz; `fetch`, `node_files`: from an API server, from the node it runs on
- `live`, `here`, `probe`  what one question needs of a live cluster, of this node's kernel, and real questions
- `dns`  what the DNS server would answer: its Corefile, and its own chain, asked without upstreams
- `asking`, `dns_service`  one question to it; the Services that it has
- `proxy_config`  the proxy's configuration among the objects
- `headless`  why a headless name has no record
- `rows`, `selecting`, `health`, `slices`  endpoints: rows and Pods, what a selector misses, why a Pod is not ready, and
  where slices and Pods disagree
- `kernel`   what a node's kernel does with a packet, read from what its tools print
- `run_diff`  ``kdns rules --diff``
- `packets`, `compared`  the packets of a question, and what kernel and policy make of them
- `rule_findings`, `dns_kernel`, `flow_findings`, `sysctls`, `proxy_state`  what is wrong there, with codes
- `run_diff`  ``kdns rules --diff``
- `netpol`   NetworkPolicies
- `service_range`  which addresses Services may have
"""
