"""``tls CERT KEY [CA] { client_auth ...; keylog FILE }``: the certificate of ``tls://`` and ``https://``.

What shows it are the listeners of the block, which find it under `NAME` among what the block's plugins offer.
"""

import logging
import os
import ssl
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from kdns.config.directive import Directive, Word
from kdns.config.reading import arguments, once, properties
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing
from kdns.ops.file_stamp import file_stamp

NAME: Final = "tls"
LOG: Final = logging.getLogger("kdns.dns.plugins.tls")
SCHEMES: Final = ("tls", "https")
"""Which need it."""
POLICIES: Final = {
    "nocert": ssl.CERT_NONE,
    "request": ssl.CERT_NONE,
    "verify_if_given": ssl.CERT_OPTIONAL,
    "require_and_verify": ssl.CERT_REQUIRED,
}
"""``request`` lets everybody in, whatever they show: so we do not ask."""
PEM_MOST: Final = 1_048_576
"""Octets of a file."""


class File(NamedTuple):
    """A file path and its position in the Corefile."""

    path: str
    word: Word


class Options(Struct, frozen=True, kw_only=True):
    """Files, and what is asked of clients."""

    cert: File
    key: File
    ca: File | None = None
    """Whose clients are trusted; None: those of the system."""
    clients: ssl.VerifyMode = ssl.CERT_NONE
    keylog: File | None = None
    """Where the secrets of every session go, for programs that look into recorded traffic."""

    @property
    def files(self) -> tuple[File, ...]:
        """All of them."""
        return (self.cert, self.key) if self.ca is None else (self.cert, self.key, self.ca)

    @property
    def meaning(self) -> object:
        """For comparison: the same wherever it stands."""
        secrets = os.path.realpath(self.keylog.path) if self.keylog is not None else ""
        return tuple(os.path.realpath(file.path) for file in self.files), self.clients, secrets


class Contexts(NamedTuple):
    """A certificate that was read, for each way to serve it."""

    tls: ssl.SSLContext
    https: ssl.SSLContext


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """``tls CERT KEY [CA]``. Reads no file."""
    directive = once(directives)
    if not directive.args and directive.block:
        raise directive.block[0].name.error(
            "certificates by ACME are not supported", "get them with cert-manager: tls CERT KEY"
        )
    words = arguments(directive, 2, 3)
    clients = ssl.CERT_NONE
    secrets: File | None = None

    def client_auth(line: Directive) -> None:
        nonlocal clients
        word = arguments(line, 1, 1)[0]
        if word.text == "require":
            raise word.error("require is not supported: it takes any certificate, unverified", "require_and_verify")
        if word.text not in POLICIES:
            raise word.error(f"unknown client_auth {word.text!r}", f"one of {', '.join(POLICIES)}")
        clients = POLICIES[word.text]

    def keylog(line: Directive) -> None:
        nonlocal secrets
        word = arguments(line, 1, 1)[0]
        secrets = File(os.path.join(place.folder, word.text), word)

    properties(directive, {"client_auth": client_auth, "keylog": keylog})
    cert, key, *ca = (File(os.path.join(place.folder, word.text), word) for word in words)
    return Options(cert=cert, key=key, ca=ca[0] if ca else None, clients=clients, keylog=secrets)


def stamp(options: Options) -> tuple[object, ...]:
    """Changes when a file does; missing files have one, too."""
    return tuple(map(_stamp, options.files))


def _stamp(file: File) -> object:
    try:
        return file_stamp(file.path)
    except OSError as error:
        return error.errno


def build(options: Options, parts: BlockContext) -> Built:
    """No part of the chain. Reads the files; raises ConfigError with the word that names the one that is wrong."""
    if options.keylog is not None:
        LOG.warning("%s: every session can be read by all who can read %s", options.keylog.word.at, options.keylog.path)
    parts.offer(NAME, Contexts(_context(options, "dot"), _context(options, "http/1.1")))
    if not any(server.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)) for server in parts.servers):
        LOG.warning("%s: the certificate is not used: no key of its block is tls:// or https://", options.cert.word.at)
    return Built(must_see=sees_nothing)


def _context(options: Options, protocol: str) -> ssl.SSLContext:
    for file in options.files:
        _check(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols([protocol])
    try:
        context.load_cert_chain(options.cert.path, options.key.path, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        if reason == "KEY_VALUES_MISMATCH":
            raise options.key.word.error("this key is not that of the certificate", "name a pair") from error
        raise options.cert.word.error(
            f"cannot use this certificate with its key: {reason}", "both must be PEM files, the key without a password"
        ) from error
    context.verify_mode = options.clients
    try:
        if options.ca is not None:
            context.load_verify_locations(options.ca.path)
        elif options.clients != ssl.CERT_NONE:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    except (ssl.SSLError, OSError) as error:
        assert options.ca is not None
        raise options.ca.word.error("there is no certificate in this file", "it must be a PEM file") from error
    if options.keylog is not None:
        try:
            context.keylog_filename = options.keylog.path
        except OSError as error:
            raise options.keylog.word.error(f"cannot write {options.keylog.path}: {error.strerror}") from error
    return context


def _check(file: File) -> None:
    try:
        with open(file.path, "rb") as opened:
            if len(opened.read(PEM_MOST + 1)) > PEM_MOST:
                raise file.word.error(f"{file.path} is too large for a certificate or key", "is it the right file?")
    except OSError as error:
        raise file.word.error(
            f"cannot read {file.path}: {error.strerror}", "is it mounted, and may this user read it?"
        ) from error
