"""Names that are nearly right."""

import pytest

from kdns.explain.near import alike, distance_of, elsewhere
from kdns.explain.objects import Objects

SERVICES = ("shop/cart", "shop/cart-api", "shop/checkout", "shop/db", "data/cart", "data/redis")
OBJECTS = Objects(
    {"kind": "Service", "metadata": {"namespace": text.split("/")[0], "name": text.split("/")[1]}} for text in SERVICES
)


@pytest.mark.parametrize(
    ("namespace", "name", "best"),
    [
        ("shop", "crat", "cart"),
        ("shop", "carts", "cart"),
        ("shop", "cartapi", "cart-api"),
        ("shop", "api-cart", "cart-api"),
        ("shop", "chekout", "checkout"),
        ("shop", "chekcout", "checkout"),
        ("redis", "data", "redis"),
        ("shpo", "checkout", "checkout"),
        ("shop", "payments", ""),
        ("shop", "dx", "db"),
        ("shop", "xy", ""),
    ],
)
def test_alike(namespace: str, name: str, best: str) -> None:
    """Swapped letters, plurals, separators, parts and a Namespace in the wrong place are seen; other names are not."""
    found = alike(OBJECTS, namespace, name)
    assert (found[0].name if found else "") == best


def test_elsewhere() -> None:
    """The same name in other Namespaces."""
    assert [key.namespace for key in elsewhere(OBJECTS, "web", "cart")] == ["data", "shop"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("cart", "cart", 0), ("cart", "crat", 1), ("cart", "car", 1), ("cart", "kart", 1), ("cart", "xyzw", 3)],
)
def test_distance(one: str, other: str, expected: int) -> None:
    """Optimal string alignment, at most three."""
    assert distance_of(one, other) == expected
