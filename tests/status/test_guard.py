"""Which requests are answered."""

import pytest

from kdns.status.guard import HEADERS, local_host, refusal


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:9180", True),
        ("[::1]:9180", True),
        ("10.244.0.5", True),
        ("localhost:9180", True),
        ("LOCALHOST", True),
        ("kdns.localhost:80", True),
        ("", False),
        ("evil.example", False),
        ("evil.example:9180", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:9180", False),
        ("127.1", False),
        ("[::1", False),
    ],
)
def test_only_addresses_and_localhost(host: str, expected: bool) -> None:
    """A name that DNS may have led here is refused (DNS rebinding); RFC 6761 section 6.3 keeps localhost local."""
    assert local_host(host) is expected


@pytest.mark.parametrize(
    ("site", "mode", "answered"),
    [
        ("", "", True),
        ("same-origin", "cors", True),
        ("none", "navigate", True),
        ("cross-site", "navigate", True),
        ("cross-site", "no-cors", False),
        ("same-site", "cors", False),
    ],
)
def test_pages_of_other_sites_may_only_link(site: str, mode: str, answered: bool) -> None:
    """A link is followed; an image, script or fetch of another site is not answered (Fetch Metadata)."""
    headers = {"Host": "127.0.0.1:9180", "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    assert (refusal(headers) is None) is answered


def test_nothing_is_loaded_from_elsewhere() -> None:
    """The policy names no host, and no inline script or style."""
    policy = HEADERS["Content-Security-Policy"]
    sources = {word for part in policy.split("; ") for word in part.split()[1:]}
    assert sources == {"'none'", "'self'"}
