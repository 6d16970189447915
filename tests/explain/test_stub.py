"""What stub resolvers ask: the order of names, as their sources have it."""

import pytest

from kdns.config.resolv_conf import Resolver
from kdns.explain.stub import Library, library_of, names_asked, ndots_of

POD = Resolver(("10.96.0.10",), ("shop.svc.cluster.local", "svc.cluster.local"), ("ndots:5",))
LOW = POD._replace(options=("ndots:1",))


@pytest.mark.parametrize(
    ("name", "resolver", "library", "expected"),
    [
        ("cart", POD, "glibc", "cart.shop.svc.cluster.local. cart.svc.cluster.local. cart."),
        ("cart", POD, "musl", "cart.shop.svc.cluster.local. cart.svc.cluster.local. cart."),
        ("cart", POD, "busybox", "cart.shop.svc.cluster.local. cart.svc.cluster.local."),
        ("cart.shop", POD, "busybox", "cart.shop."),
        ("cart.shop", POD, "go", "cart.shop.shop.svc.cluster.local. cart.shop.svc.cluster.local. cart.shop."),
        ("cart.shop", LOW, "glibc", "cart.shop. cart.shop.shop.svc.cluster.local. cart.shop.svc.cluster.local."),
        ("cart.shop", LOW, "go", "cart.shop. cart.shop.shop.svc.cluster.local. cart.shop.svc.cluster.local."),
        ("cart.shop", LOW, "musl", "cart.shop."),
        ("cart", LOW, "musl", "cart.shop.svc.cluster.local. cart.svc.cluster.local. cart."),
        ("cart.shop.", POD, "glibc", "cart.shop."),
        ("cart", Resolver(), "glibc", "cart."),
        ("cart", Resolver(), "busybox", "cart."),
        ("cart", POD._replace(searches=(".",)), "glibc", "cart."),
    ],
)
def test_names(name: str, resolver: Resolver, library: Library, expected: str) -> None:
    """Dots, ndots and a final dot decide the order; musl and busybox leave names out."""
    assert " ".join(names_asked(name, resolver, library)) == expected


def test_ndots() -> None:
    """The last ndots counts, 15 is the most, and 1 the default (resolv.conf(5))."""
    assert ndots_of(Resolver()) == 1
    assert ndots_of(Resolver(options=("ndots:2", "ndots:99"))) == 15
    assert ndots_of(Resolver(options=("ndots:x", "rotate"))) == 1


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("docker.io/library/alpine:3.20", "musl"),
        ("python:3.12-alpine", "musl"),
        ("busybox:1.36", "busybox"),
        ("debian:12", None),
    ],
)
def test_library(image: str, expected: str | None) -> None:
    """Images tell which resolver their programs have, some of them."""
    assert library_of([image]) == expected
