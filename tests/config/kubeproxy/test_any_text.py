"""Whatever a KubeProxyConfiguration holds: settings or ConfigError come of it, and soon."""

from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kdns.base.errors import ConfigError
from kdns.config.kubeproxy.fields import API_VERSION, KIND, described
from kdns.config.kubeproxy.kinds import duration, go_duration
from kdns.config.kubeproxy.parsing import parse_kubeproxy
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.config.kubeproxy.writing import as_yaml
from tests.effort import processor_time
from tests.examples import examples

HEAD = f"apiVersion: {API_VERSION}\nkind: {KIND}\n"

SECONDS = st.floats(0.0, 1e8).map(lambda seconds: round(seconds, 9))


@given(SECONDS)
@example(0.0)
@example(1e-9)
@example(86400.0)
@example(3599.999999999)
def test_durations_are_read_as_they_are_written(seconds: float) -> None:
    """Go's spelling of a duration is that duration."""
    assert duration().read(go_duration(seconds)) == seconds


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["", "0", "30s", "-1s", "10.0.0.0/8", "primary", "::", "[::1]:9", "1.2.3.4", "1e999s", "ipvs"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@st.composite
def configurations(draw: st.DrawFn) -> str:
    """Files with any values at any of the known words, and some unknown ones."""
    known = described(ProxySettings())
    words = draw(st.lists(st.sampled_from(sorted(known)) | st.text(max_size=4), max_size=6))
    top: dict[str, Any] = {"apiVersion": API_VERSION, "kind": KIND}
    for word in words:
        inner = known.get(word)
        if isinstance(inner, dict) and inner and draw(st.booleans()):
            top[word] = {key: draw(PLAIN) for key in draw(st.lists(st.sampled_from(sorted(inner)), max_size=4))}
        elif word not in {"apiVersion", "kind"}:
            top[word] = draw(PLAIN)
    return yaml.safe_dump(top, allow_unicode=True)


@settings(max_examples=examples(100))
@given(configurations() | st.text(max_size=80) | st.text(max_size=60).map(lambda text: HEAD + text))
@example("\0")
@example(HEAD + "iptables: {masqueradeBit: .inf}")
@example(HEAD + "iptables: {masqueradeBit: 1e999}")
@example(HEAD + "clientConnection: {qps: 1e999}")
@example(HEAD + "clusterCIDR: fe80::1%eth0/64")
@example(HEAD + "bindAddress: fe80::1%eth0")
@example(HEAD + "? [a]\n: b")
@example(HEAD + "a: *b")
@example(HEAD + "a: &a [*a]")
@example("\ufeff" + HEAD)
def test_any_text(text: str) -> None:
    """Any text is settings, which are read again as they are written, or ConfigError; and soon."""
    try:
        with processor_time(5.0):
            found, warnings = parse_kubeproxy(text, "c")
    except ConfigError as error:
        told = str(error).split("\n")
    else:
        told = list(warnings)
        again, _ = parse_kubeproxy(as_yaml(found), "again")
        assert again == found
    assert all(map(str.isprintable, told))
