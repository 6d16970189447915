"""Pages for people: what is served, the path of each Service drawn, why a name does not answer. Read-only.

::

    server, proxy, or both; or a lab ──> parts ──> views (values of one page) ──> HTML by templates | JSON of the same
                                           │
              explain, handed in by cli ───┘

    parts      what the pages are about, and how explain is asked
    overview   what is counted, what is not ready, the age of what is known, the last changes
    services   the list of Services, searched and paged
    path       one Service: names, records, frontends, rules, endpoints, and what is wrong with them
    graph      what is drawn of that path
    drawing    that from left to right, narrow from the top down, shapes what both are made of
    names      what is answered for a name, from which object, by which plugin
    chains     the Corefile as chains
    changes    the last changes of Services, answered and in the kernel
    counted    what metrics say of servers and proxies
    numbers    the values of metrics, summed as pages need them
    guard      which requests are answered: the Host header, and what other sites' pages may ask
    site       HTTP: addresses of pages, templates, headers

Nothing here is on the way of a query or of a packet: pages read what the other rooms keep, when they are asked for.
No page contacts anything, and no page changes anything. `kdns.explain` is a stranger to this room: commands hand it in.
"""
