"""The composition root of DNS: a plan of each server block from the Corefile or from flags, the running blocks and what
their plugins get, the clusters they follow, reloads, and the application that runs it all until a signal ends it.

- `app`        the composition root: parts in one TaskGroup until a signal ends them
- `context`    what plugins get from the server and share through reloads
- `local_listeners`  addresses of the cluster's DNS that are local on a node, and the end without a question lost
- `registry`   which plugins there are, and where each comes from
- `reloading`  the Corefile read again; a broken one is logged once
- `serving`    what is served now, and its exchange without losing a query
"""
