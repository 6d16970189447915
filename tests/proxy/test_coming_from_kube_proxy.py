"""docs/coming-from-kube-proxy.md names every field, flag and metric, and nothing that is not there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from kdns.config.kubeproxy.fields import described
from kdns.config.kubeproxy.flags import CADVISOR, FLAGS, VERSION
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.metrics.proxy import Mode, ProxyMetrics

PAGE: Final = (Path(__file__).parents[2] / "docs" / "coming-from-kube-proxy.md").read_text()


def section(title: str) -> str:
    """What stands under a heading."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def fields(values: dict[str, Any], before: str = "") -> Iterator[str]:
    """Every field as the page calls it."""
    for word, value in values.items():
        if isinstance(value, dict) and value:
            yield from fields(value, f"{before}{word}.")
        else:
            yield before + word


def test_every_field_is_named() -> None:
    """With its path, in the table of the configuration."""
    known = set(fields(described(ProxySettings()))) - {"apiVersion", "kind"}
    rows = [line for line in section("The configuration").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([\w.]+)`", row.split("|")[1])}
    assert named == known


def test_every_flag_is_named() -> None:
    """And no other one."""
    found = set(re.findall(r"`--?([\w-]+)", section("Flags")))
    assert found - {"config"} == {*FLAGS, *CADVISOR, VERSION} - {"config"}


def test_flags_that_count_beside_a_file() -> None:
    """Are those of the table of flags."""
    told = section("Flags").partition("count beside it:")[2].partition("The others")[0]
    assert set(re.findall(r"`--?([\w-]+)", told)) == {name for name, flag in FLAGS.items() if flag.with_config} - {
        "config"
    }


def test_every_metric_is_named_with_its_modes() -> None:
    """As it is declared."""
    declared: dict[str, set[str]] = {}
    for mode in get_args(Mode):
        for family in ProxyMetrics(mode, ("IPv4",)).collect():
            declared.setdefault(family.name + "_total" * (family.type == "counter"), set()).add(mode)
    told = {}
    for row in section("Metrics").splitlines():
        for name in re.findall(r"`((?:kubeproxy|kdns_proxy_rules)_\w+)`", row):
            modes = row.split("|")[2].partition(", where")[0].strip()
            told[name] = set(get_args(Mode)) if modes == "all" else set(modes.split(", "))
    assert told == declared
