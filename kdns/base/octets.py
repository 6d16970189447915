"""Text to octets by the C library. Pure.

This is the one way by which the pure parts use the module `socket`: `inet_pton` opens nothing, waits for nothing, and
takes a third of the time of anything written in Python. Both glibc and musl refuse leading zeros in a dotted quad.
"""

from socket import AF_INET, AF_INET6, inet_pton

__all__ = ["AF_INET", "AF_INET6", "inet_pton"]
