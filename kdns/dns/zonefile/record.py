"""The data of one record, from text to wire form (RFC 1035 section 5.1): the one reader of zone files and templates.

dnspython knows how each type is written (`dns.rdata`), and the generic form ``\\# LENGTH HEX`` (RFC 3597 section 5).
It gets the words as `tokens` has cut them, so that a mistake is reported at its word. Here are the bounds, and what
differs from dnspython, each by its RFC:

- a text over 255 octets becomes several, as CoreDNS does it (TXT and its like: `_texts`);
- HTTPS and SVCB in alias mode may have parameters, which clients ignore (RFC 9460 section 2.4.2: SHOULD NOT);
- digests may have any length (DS, TLSA, SSHFP, ZONEMD...): one that fits no algorithm is for clients to ignore
  (RFC 8976 section 2.2.4), no reason to stay away from the whole zone;
- names are ASCII; dnspython would translate others by a rule of IDNA;
- types that zones are full of, which would take ten times as long, and old ones that dnspython has no text for, are
  read by the table `FIELDS`.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import dns.dnssectypes
import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.ttl

from kdns.base.errors import FormError
from kdns.dns.zonefile.tokens import Token, wrong
from kdns.wire.name import MAX_NAME, labels, parse_name
from kdns.wire.numbers import AAAA, CNAME, DNAME, DS, HTTPS, MX, NS, PTR, SOA, SRV, SVCB, TXT, A
from kdns.wire.rdata import FIRST, Names
from kdns.wire.types import type_text

MAX_SECONDS: Final = 0x7FFFFFFF
"""RFC 2181 section 8."""
MAX_RDATA: Final = 65_000
"""Octets; with its owner and the question a record must fit into a message."""
_Words = dns.tokenizer.Tokenizer
Field = Callable[[_Words, bytes], bytes]
Simple = Callable[[str, bytes], bytes]
"""From a word, and the origin, to octets."""


def absolute(text: str, origin: bytes, *, fold: bool = True) -> bytes:
    """A name in a file, folded unless `fold` is false: relative to the origin without a last dot. Raises ValueError."""
    if text == "@":
        return origin
    name = parse_name(text, fold=fold)
    if text.endswith(".") and not ("\\" in text and re.search(r"(?<!\\)(?:\\\\)*\\\.$", text)):
        return name
    name = name[:-1] + origin
    if len(name) > MAX_NAME:
        raise ValueError(f"name of {len(name)} octets, at most {MAX_NAME}: {text[:80]!r}")
    return name


def seconds(text: str) -> int:
    """A TTL in seconds, or with units as BIND has them: ``1h30m``. Raises ValueError."""
    try:
        total = int(text) if len(text) < 10 and text.isascii() and text.isdigit() else dns.ttl.from_text(text)
    except dns.exception.DNSException:
        raise ValueError(f"invalid TTL {text!r}: seconds, or such as 1h30m") from None
    if total > MAX_SECONDS:
        raise ValueError(f"TTL {text} is too long: {MAX_SECONDS} seconds at most")
    return total


def read_rdata(kind: Token, rtype: int, tokens: Sequence[Token], origin: bytes, source: str) -> bytes:
    """The data of a record of a type that stands at `kind`. Raises ConfigError at the word that is wrong.

    Names are uncompressed and absolute, and folded where `kdns.wire.rdata` folds them.
    """
    if (simple := SIMPLE.get(rtype)) is not None and (octets := _simple(simple, tokens, origin)):
        return octets
    words = _Tokens(tokens)
    try:
        octets = _octets(rtype, words, origin)
        if len(octets) > MAX_RDATA:
            raise ValueError(f"data of {len(octets)} octets, at most {MAX_RDATA}")
    except (ValueError, IndexError, FormError, dns.exception.DNSException) as error:
        if isinstance(error.__cause__ or error, UnicodeError):
            word = words.last or kind
            raise wrong(source, word, f"{word.text!r} is not ASCII", "write names as xn--...") from None
        raise wrong(source, words.last or kind, f"invalid {type_text(rtype)} data: {words.problem(error)}") from None
    return octets


def _simple(fields: Sequence[Simple], tokens: Sequence[Token], origin: bytes) -> bytes:
    """The data of a type that zones are full of, in half of the time; empty if it is not as simple as that."""
    if len(tokens) != len(fields):
        return b""
    octets = b""
    try:
        for field, token in zip(fields, tokens, strict=True):
            if token.quoted:
                return b""
            octets += field(token.text, origin)
    except (ValueError, FormError):  # the general way finds the words for it
        return b""
    return octets


def _octets(rtype: int, words: "_Tokens", origin: bytes) -> bytes:
    if rtype in FIELDS and not words.starts(r"\#"):
        octets = b"".join([field(words, origin) for field in FIELDS[rtype]])
        if not words.get().is_eol():
            raise ValueError("unexpected word after the last field")
        return octets
    alias = rtype in {HTTPS, SVCB} and words.starts("0")
    if alias:
        words.replace_first("1")
    rdata = dns.rdata.from_text(
        dns.rdataclass.IN, dns.rdatatype.RdataType.make(rtype), words, _dnspython_name(origin), relativize=False
    )
    octets = rdata.to_wire() or b""
    octets = b"\0\0" + octets[2:] if alias else octets
    return Names(bytes(FIRST) + octets).rdata(rtype, FIRST, FIRST + len(octets))


@lru_cache(maxsize=16)
def _dnspython_name(name: bytes) -> dns.name.Name:
    return dns.name.Name([*labels(name), b""])


class _Ascii(dns.name.IDNACodec):
    """Names beyond ASCII are errors."""

    def encode(self, label: str) -> bytes:
        return label.encode("ascii")


_ASCII: Final = _Ascii()  # type: ignore[no-untyped-call]


class _Tokens(dns.tokenizer.Tokenizer):
    """The words of one record for dnspython's readers; knows which word was read last."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        super().__init__(None, "", _ASCII)
        self._tokens = list(tokens)
        self._at = 0
        self._over = False

    @property
    def last(self) -> Token | None:
        """The word that was read last; None where there are none at all."""
        return self._tokens[max(0, self._at - 1)] if self._tokens else None

    def problem(self, error: Exception) -> str:
        """What is wrong, in words; dnspython's own are sometimes none."""
        if self._over and str(error).startswith(("expecting", "Text input ended")):
            return "a field is missing at the end"
        if str(error).startswith("generic rdata does not start"):
            return r"only the generic form \# LENGTH HEX of this type is understood"
        if str(error) in {"", "Text input is malformed."} and self.last is not None:
            return f"{self.last.text!r} is malformed"
        return str(error)

    def starts(self, text: str) -> bool:
        """True if the first word is a text, without quotation marks."""
        return bool(self._tokens) and self._tokens[0].text == text and not self._tokens[0].quoted

    def replace_first(self, text: str) -> None:
        """Have another first word."""
        self._tokens[0] = self._tokens[0]._replace(text=text)

    def get(self, want_leading: bool = False, want_comment: bool = False) -> dns.tokenizer.Token:
        """The next word, or the end of the line."""
        if self.ungotten_token is not None:
            token, self.ungotten_token = self.ungotten_token, None
            return token
        if self._at == len(self._tokens):
            self._over = True
            return dns.tokenizer.Token(dns.tokenizer.EOL, "\n")
        word = self._tokens[self._at]
        if want_leading and not word.joined:
            return dns.tokenizer.Token(dns.tokenizer.WHITESPACE, " ")
        self._at += 1
        kind = dns.tokenizer.QUOTED_STRING if word.quoted else dns.tokenizer.IDENTIFIER
        return dns.tokenizer.Token(kind, word.text, "\\" in word.text)


def _word(words: _Words) -> str:
    """The next word. Raises ValueError if there is none, or it is quoted."""
    return words.as_identifier(words.get())


def _folded(words: _Words, origin: bytes) -> bytes:
    return absolute(_word(words), origin)


def _name(words: _Words, origin: bytes) -> bytes:
    return absolute(_word(words), origin, fold=False)


def _ipv4(words: _Words, _origin: bytes) -> bytes:
    return _ipv4_of(_word(words), b"")


def _ipv6(words: _Words, _origin: bytes) -> bytes:
    return _ipv6_of(_word(words), b"")


def _ipv4_of(text: str, _origin: bytes) -> bytes:
    return IPv4Address(text).packed


def _ipv6_of(text: str, _origin: bytes) -> bytes:
    address = IPv6Address(text)
    if address.scope_id:
        raise ValueError(f"{text!r} has a scope")
    return address.packed


def _unfolded(text: str, origin: bytes) -> bytes:
    return absolute(text, origin, fold=False)


def _uint16_of(text: str, _origin: bytes) -> bytes:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and (number := int(text)) < 1 << 16):
        raise ValueError(f"{text!r} is not a number of 16 bits")
    return number.to_bytes(2, "big")


SIMPLE: Final[dict[int, tuple[Simple, ...]]] = {
    A: (_ipv4_of,),
    NS: (absolute,),
    CNAME: (absolute,),
    PTR: (_unfolded,),
    MX: (_uint16_of, absolute),
    AAAA: (_ipv6_of,),
    SRV: (_uint16_of, _uint16_of, _uint16_of, absolute),
    DNAME: (absolute,),
}
"""Types whose fields are a word each."""


def _number(octets: int) -> Field:
    def read(words: _Words, _origin: bytes) -> bytes:
        number = words.as_int(words.get())
        if number >= 1 << 8 * octets:
            raise ValueError(f"{number} has over {8 * octets} bits")
        return number.to_bytes(octets, "big")

    return read


def _seconds(words: _Words, _origin: bytes) -> bytes:
    return seconds(_word(words)).to_bytes(4, "big")


def _text(words: _Words, _origin: bytes) -> bytes:
    octets = words.get_bytes(255)
    return bytes((len(octets),)) + octets


def _texts(words: _Words, _origin: bytes) -> bytes:
    strings: list[bytes] = []
    while not (token := words.get()).is_eol():
        octets = words.as_bytes(token.unescape_to_bytes())
        strings += [octets[at : at + 255] for at in range(0, len(octets) or 1, 255)]
    words.unget(token)
    if not strings:
        raise ValueError("expected TEXT...")
    return b"".join(bytes((len(string),)) + string for string in strings)


def _hexadecimal(words: _Words, _origin: bytes) -> bytes:
    return bytes.fromhex(words.concatenate_remaining_identifiers())


def _base64(words: _Words, _origin: bytes) -> bytes:
    return b64decode(words.concatenate_remaining_identifiers(), validate=True)


def _algorithm(words: _Words, _origin: bytes) -> bytes:
    """A number, or a name such as RSASHA256 (RFC 4034 appendix A.1)."""
    return bytes((dns.dnssectypes.Algorithm.make(_word(words)),))


_DIGEST: Final = (_number(2), _algorithm, _number(1), _hexadecimal)
_CERTIFICATE: Final = (_number(1), _number(1), _number(1), _hexadecimal)
FIELDS: Final[dict[int, tuple[Field, ...]]] = {
    A: (_ipv4,),
    NS: (_folded,),
    3: (_name,),  # MD
    4: (_name,),  # MF
    CNAME: (_folded,),
    SOA: (_folded, _folded, _number(4), _seconds, _seconds, _seconds, _seconds),
    7: (_name,),  # MB
    8: (_name,),  # MG
    9: (_name,),  # MR
    PTR: (_name,),
    14: (_name, _name),  # MINFO
    MX: (_number(2), _folded),
    TXT: (_texts,),
    AAAA: (_ipv6,),
    31: (_hexadecimal,),  # EID
    32: (_hexadecimal,),  # NIMLOC
    SRV: (_number(2), _number(2), _number(2), _folded),
    DNAME: (_folded,),
    DS: _DIGEST,
    44: (_number(1), _number(1), _hexadecimal),  # SSHFP
    52: _CERTIFICATE,  # TLSA
    53: _CERTIFICATE,  # SMIMEA
    56: (_texts,),  # NINFO
    57: (_number(2), _number(1), _algorithm, _base64),  # RKEY
    58: (_name, _name),  # TALINK
    59: _DIGEST,  # CDS
    63: (_number(4), _number(1), _number(1), _hexadecimal),  # ZONEMD
    99: (_texts,),  # SPF
    100: (_text,),  # UINFO
    101: (_number(4),),  # UID
    102: (_number(4),),  # GID
    258: (_texts,),  # AVC
    261: (_texts,),  # RESINFO
    262: (_texts,),  # WALLET
    32768: _DIGEST,  # TA
    32769: _DIGEST,  # DLV
}
