"""Listeners: datagrams (one by one, or by recvmmsg), TCP, TLS, HTTPS, and the framing between. They move messages and
decide nothing about names."""
