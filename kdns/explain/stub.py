"""What stub resolvers ask for a name: which absolute names in which order, and what ends the walk. Pure.

::

                 a name with fewer dots than ndots       as many or more               ends the walk
    glibc        the search list, then the name itself   itself, then the search list  an address
    Go           likewise                                likewise                      an address
    musl         the search list, then the name itself   itself only                   an address, NODATA, SERVFAIL
    busybox      (nslookup) the search list only,        itself only                   each is asked and printed
                 if there is not one dot in the name

Sources: glibc resolv/res_query.c (__res_context_search), musl src/network/lookup_name.c (name_from_dns_search), Go
src/net/dnsclient_unix.go (nameList), busybox networking/nslookup.c (add_query_with_search).
A name that ends in a dot is asked as it is by all. A and AAAA are asked together but by Go with ``single-request``.
"""

from typing import Final, Literal

from kdns.config.resolv_conf import Resolver

Library = Literal["glibc", "musl", "busybox", "go"]
LIBRARIES: Final[tuple[Library, ...]] = ("glibc", "musl", "busybox", "go")
NDOTS: Final = 1
"""resolv.conf(5): the default."""
MAX_NDOTS: Final = 15
"""What the resolvers of C take at most."""


def ndots_of(resolver: Resolver) -> int:
    """The option ``ndots``."""
    for option in reversed(resolver.options):
        name, _, value = option.partition(":")
        if name == "ndots" and value.isdecimal():
            return min(int(value), MAX_NDOTS)
    return NDOTS


def names_asked(name: str, resolver: Resolver, library: Library = "glibc") -> list[str]:
    """The absolute names, with a final dot, in the order in which they are tried until something ends the walk."""
    if name.endswith("."):
        return [name]
    dots = name.count(".")
    searched = [f"{name}.{domain.rstrip('.')}." if domain != "." else f"{name}." for domain in resolver.searches]
    if library == "busybox":
        return [f"{name}."] if dots or not searched else searched
    if dots >= ndots_of(resolver):
        return [f"{name}."] if library == "musl" else [f"{name}.", *searched]
    return list(dict.fromkeys([*searched, f"{name}."]))


def library_of(images: list[str]) -> Library | None:
    """The C library of a container, if its images tell; None if they do not."""
    text = " ".join(images).lower()
    if "alpine" in text or "musl" in text:
        return "musl"
    return "busybox" if "busybox" in text else None
