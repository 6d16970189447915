"""Other resolvers, asked: addresses, transports, their health, and which of them is asked next.

::

    plugins/forward ──> pool      who is asked: policy, attempts, deadline; equal questions under way are asked once
                         │
                         v
                      upstream    one resolver: its transports, truncation, its health and the probes of it
                         │
               ┌─────────┼─────────┐
               v         v         v
              udp      stream    https      one exchange each: UpstreamQuery in, Received out, or UpstreamError
                       tcp, tls

- `upstream_address`  what a Corefile says of an upstream, pure
- `resolve`  files and host names to addresses, once, at start
- `exchange`  what the transports share: the form of their errors, unguessable ids

Nothing here knows a client, a plugin or a Corefile's words. Whatever an upstream sends, the outcome is a `Received`
for exactly the question that was asked, or UpstreamError; what is not for it is ignored while time is left.

- `deadlines`  many deadlines on one timer
- `received`  what has come: as octets where they are clean, parsed where not
- `forward_directive`  the words of a ``forward`` line and its block
- `notify`  NOTIFY to other servers (RFC 1996)

One word for each thing: an `UpstreamQuery` is what is asked, a `PendingQuery` one that is under way with all who wait
for it, a `UdpAttempt` one datagram of it, an `UpstreamSocket` what that went out on, a `Received` the response.
"""
