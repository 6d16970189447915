"""Questions in, answers out.

::

    client ──> socket ──> udp / tcp ────────── responder.fast(message) ──────────> reply   (a table look-up)
                             │                        │
                             │                       None
                             │                        v
                             └── Client ──> responder.slow(message, client, send)
                                              │  at once or later, in any order
                                              └──> handler ──> plugins ──> reply(octets) ──> from the address asked

- `transport`  listeners for datagrams, TCP, TLS and HTTPS; they move octets and decide nothing
- `query`      which server block a query belongs to, the fast path, and the way through the chain
- `plugins`    one file each, strangers to each other; their order is data
- `cache`      what other servers answered, kept
- `upstream`   other resolvers, and which of them is asked
- `rewriting`  what ``rewrite`` does, as pure functions
- `zonefile`   static zones from master files
- `lang`       the small languages of Corefiles
- `api`        what a plugin sees
- `server`     the composition root: plans, server blocks, clusters, reload, the application

The socket edge moves octets and decides nothing: no name, no rcode is known to it. Deciding never sees a socket.
Nothing here knows Kubernetes objects but the plugin that is named after it, and nothing here watches them.
"""
