"""`kdns rules --diff` without a mode compares with the rules of the mode that runs."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kdns.cli.rules import running_mode


@contextmanager
def page(text: bytes) -> Iterator[int]:
    """A server that answers one request with this; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(text)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("body", "mode"), [(b"nftables", "nftables"), (b"ipvs\n", "ipvs"), (b"userspace", None), (b"\xff\xfe", None)]
)
def test_the_page_of_the_proxy(body: bytes, mode: str | None) -> None:
    """kube-proxy and kdns print the mode as it is in the configuration; anything else is no mode."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    with page(head + body) as port:
        assert running_mode(port) == mode


def test_something_else_on_the_port() -> None:
    """What is no HTTP server, and no server at all, say no mode."""
    with page(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        assert running_mode(port) is None
    assert running_mode(port) is None
