"""Certificates and keys for tests, made once; they protect nothing.

``server``: for 127.0.0.1, localhost and kube.example, its own CA, until the year 2120. ``expired``: a client's, signed
by it, ended 1 February 2024.
"""

import ssl
from pathlib import Path
from typing import Final, NamedTuple

_FOLDER: Final = Path(__file__).parent / "pem"


class Pair(NamedTuple):
    """Two files in PEM form."""

    cert: Path
    key: Path


SERVER: Final = Pair(_FOLDER / "server.pem", _FOLDER / "server.key")
EXPIRED: Final = Pair(_FOLDER / "expired.pem", _FOLDER / "expired.key")
EXPIRED_AT: Final = 1706745600.0
"""Unix seconds."""


def server_context(*, clients: bool = False) -> ssl.SSLContext:
    """For a server; `clients`: each must show a certificate that SERVER signed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(SERVER.cert, SERVER.key)
    if clients:
        context.load_verify_locations(SERVER.cert)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
