"""Listeners: datagrams (one by one, or by recvmmsg), TCP, TLS, HTTPS, and the framing between. They move messages and
decide nothing about names.

- `datagram`      what all ways of moving datagrams share
- `frames`        messages in a stream, each behind its length
- `https`         DNS over HTTPS (RFC 8484)
- `listeners`     addresses and ports become sockets
- `mmsg`          whole batches by recvmmsg and sendmmsg
- `packet_info`   which of our addresses was asked
- `tcp`           DNS over TCP (RFC 7766)
- `tls_acceptor`  TLS handshakes, bounded in number and time
- `udp`           the datagram socket, drained in batches
"""
