"""No false alarm: what the proxy writes for the example clusters is right, says the kernel's own listing."""

from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest

from kdns.base.objects import Network
from kdns.config.kubeproxy.settings import Mode, NodePortAddresses, ProxySettings
from kdns.explain.cluster import KINDS, Cluster
from kdns.explain.evidence import TextFile
from kdns.explain.kernel.node import NodeKernel
from kdns.explain.run_diff import compare_node
from kdns.proxy.apply.modes import script
from kdns.proxy.model import Family
from kdns.watch.manifests.reading import parse_manifests
from tests.explain.kernel.saving import load_and_save
from tests.proxy.apply.namespaces import in_a_namespace, needs_root

ROOT = Path(__file__).parents[3]
CLUSTERS = {
    "demo": sorted((ROOT / "kdns" / "demo").glob("*.yaml")),
    "lab": sorted((ROOT / "kdns" / "lab" / "manifests").glob("*.yaml")),
    "cases": [ROOT / "tests" / "explain" / "cases" / "common.yaml"],
}
ADDRESSES = frozenset(ip_address(text).packed for text in ("172.18.0.2", "fc00:f853:ccd:e793::2"))
TOOLS = {
    ("iptables", Family.IPV4): (("iptables-nft-restore",), ("iptables-nft-save",), "iptables-save.txt"),
    ("iptables", Family.IPV6): (("ip6tables-nft-restore",), ("ip6tables-nft-save",), "ip6tables-save.txt"),
    ("nftables", Family.IPV4): (("nft", "-f", "-"), ("nft", "list", "ruleset"), "nft.txt"),
    ("nftables", Family.IPV6): (("nft", "-f", "-"), ("nft", "list", "ruleset"), "nft.txt"),
}
MODES: tuple[Mode, ...] = ("iptables", "nftables")


@needs_root
@pytest.mark.kernel
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CLUSTERS)
def test_an_example_has_no_difference(name: str, mode: Mode) -> None:
    """Every frontend of every Service, in both families, leads where the objects ask for."""
    files = {path.name: parse_manifests(path.read_bytes(), path.name, also=KINDS) for path in CLUSTERS[name]}
    cidrs = (Network(bytes((10, 244, 0, 0)), 16), Network(ip_address("fd00:10:244::").packed, 56))
    settings = ProxySettings(
        mode=mode, cluster_cidrs=cidrs, node_port_addresses=NodePortAddresses(networks=tuple(_hosts()))
    )  # fmt: skip
    decided = Cluster(files).decisions(settings, "worker-1", ADDRESSES)
    count = 0
    for family in Family:
        rules = decided[family].rule_set()
        load, save, file = TOOLS[mode, family]
        loaded = partial(load_and_save, script(mode, rules), load, save)
        kernel = NodeKernel("worker-1", {file: TextFile(file, in_a_namespace(loaded))})
        assert list(compare_node(kernel, [rules], mode, ADDRESSES, whole=True)) == []
        count += len(rules.ports)
    assert count


def _hosts() -> list[Network]:
    return [Network(address, len(address) * 8) for address in ADDRESSES]
