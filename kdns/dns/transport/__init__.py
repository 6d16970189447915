"""Listeners: datagrams (one by one, or by recvmmsg), TCP, TLS, HTTPS, and the framing between. They move messages and
decide nothing about names.

- `connection_shares`  whose connections are open: no client takes those that the others need
- `datagram`      what all ways of moving datagrams share
- `frames`        messages in a stream, each behind its length
- `https`         DNS over HTTPS (RFC 8484)
- `listeners`     addresses and ports become sockets
- `mmsg`          whole batches by recvmmsg and sendmmsg
- `packet_info`   which of our addresses was asked
- `sampling`      which messages of the fast path `top` counts
- `tcp`           DNS over TCP (RFC 7766)
- `tcp_limits`    what one listener for connections bears
- `tls_acceptor`  TLS handshakes, bounded in number and time
- `udp`           the datagram socket, drained in batches
"""
