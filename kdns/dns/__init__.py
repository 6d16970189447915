"""Questions in, answers out.

::

    client ──> socket ──> udp / tcp ────────── lane.fast(message) ──────────> reply   (a table look-up)
                             │                        │
                             │                       None
                             │                        v
                             └── Client ──> lane.slow(message, client, send)
                                              │  at once or later, in any order
                                              └──> handler ──> plugins ──> reply(octets) ──> from the address asked

- `lane`         the seam between the two halves: what a socket asks of the deciding side, and replies that are owed
- `server`       addresses and ports to sockets; start, drain, close
- `udp`          the drained datagram socket, and its two plain ways of moving datagrams
- `datagram`     what all ways of moving datagrams share
- `mmsg`         whole batches by recvmmsg and sendmmsg
- `packet_info`  which of our addresses was asked, and how to reply from it
- `tcp`          queries on connections, with all their limits
- `frames`       the messages in a connection's stream
- `responder`    a `SocketResponder` for each socket
- `fast`         replies from precompiled answers, without parsing the query; `forms` are those it takes, `remembered`
                 what it keeps of them
- `compiled`     sections of a response that are octets already; their records are made only when read
- `fair_share`   places that clients take, of which none may take what others need
- `handler`, `plugins`  what answers when the fast path cannot
- `registry`     which plugins there are: built-in ones, packages', a folder's
- `guard`        a plugin's bugs cost one SERVFAIL each

The socket edge moves octets and decides nothing: no name, no rcode is known to it. Deciding never sees a socket.
Nothing here knows Kubernetes objects but the plugin that is named after it, and nothing here watches them.

- `api`        what a plugin sees
- `cache`      what other servers answered, kept
- `lang`       the small languages of Corefiles
- `rewriting`  what ``rewrite`` does, as pure functions
- `transport`  listeners for datagrams, TCP, TLS and HTTPS
- `upstream`   other resolvers, and which of them is asked
- `zonefile`   static zones from master files
"""
