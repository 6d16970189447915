"""Cases whose rules a real kernel held, broken by real tools: ``python -m tests.explain.kernel.breaking`` writes them.

Each is a folder in ``tests/explain/cases``: the objects, what the node printed, and what explain must find.
"""

import subprocess
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from msgspec.structs import replace

from kdns.base.objects import Network
from kdns.config.kubeproxy.settings import Mode, NodePortAddresses, ProxySettings
from kdns.explain.cluster import KINDS, Cluster
from kdns.proxy.apply.modes import script
from kdns.proxy.model import Family
from kdns.watch.manifests.reading import parse_manifests
from tests.explain.kernel.broken import ADDRESSES, BROKEN, MACHINE, MACHINE_IPV6, SAVES, SYSCTLS, Broken, case_objects
from tests.explain.kernel.plan import in_ipv6, objects
from tests.proxy.apply.namespaces import in_a_namespace

CASES = Path(__file__).parent.parent / "cases"


def main() -> None:
    """Write every case."""
    for case in BROKEN:
        write(case)


def write(case: Broken, cases: Path = CASES) -> None:
    """One case."""
    folder = cases / case.name
    node = folder / "node" / "worker-1"
    node.mkdir(parents=True, exist_ok=True)
    (folder / "objects.yaml").write_text(in_ipv6(_now(case)) if case.ipv6 else _now(case))
    for name, text in {**in_a_namespace(lambda: saved(case)), **case.files}.items():
        (node / name).write_text(text)
    fault = case.code if case.state == "fault" else None
    expected = [
        {**asked, "common": False, "first_fault": fault, "links": [_expected(case)]} for asked in case.asked
    ]  # fmt: skip
    (folder / "expect.yaml").write_text(yaml.safe_dump_all(expected, sort_keys=False))


def _now(case: Broken) -> str:
    if case.now == "another sticky":
        return objects(case.mode, cart={"sessionAffinity": "ClientIP"}, carts=("cart-1",))
    return case_objects(case.now, case.mode)


def _expected(case: Broken) -> dict[str, Any]:
    link: dict[str, Any] = {"link": case.link, "state": case.state, "code": case.code or None}
    if case.says:
        link["says"] = f"~{case.says}"
    if case.evidence:
        link["evidence"] = [{"text": f"~{case.evidence}"}]
    return link


def saved(case: Broken) -> dict[str, str]:
    """What the tools print in a namespace that has the machine and the rules, once they are broken."""
    _sh(MACHINE_IPV6 if case.ipv6 else MACHINE)
    own = case.text or rules_text(case, case.mode)
    if case.mode == "ipvs":
        return saved_ipvs(case, own)
    if "legacy" in case.saves and "iptables" not in case.saves:
        _sh("iptables-legacy-restore", own)
    else:
        restore = "ip6tables-nft-restore" if case.ipv6 else "iptables-nft-restore"
        _sh("nft -f -" if case.mode == "nftables" else restore, own)
    if case.do:
        paths = {"RULES": own, "OTHER": rules_text(case, "iptables")}
        names = {name: Path(f"/tmp/kdns-case-{name.lower()}") for name in paths if f"${name}" in case.do}
        for name, path in names.items():
            path.write_text(paths[name])
        _sh("".join(f"{name}={path}\n" for name, path in names.items()) + case.do)
        for path in names.values():
            path.unlink()
    files = {name: _sh(command) for name, command in (SAVES[save] for save in case.saves)}
    files["addresses.txt"], files["routes.txt"] = _sh("ip -o addr"), _sh("ip route show table all")
    files["sysctl.txt"] = _sh(f"sysctl {SYSCTLS}")
    return {name: text for name, text in files.items() if name not in case.left_out}


def saved_ipvs(case: Broken, own: str) -> dict[str, str]:
    """The same for ipvs: sets and rules are the kernel's; virtual servers are in the form of ``ipvsadm -Ln``.

    (A kernel with ip_vs is not everywhere; `tests.proxy.apply.ipvs_inside` has one, and compares the form.)
    """
    starts = [own.index(word) for word in ("ip link", "create ", "*mangle")]
    listing, links, sets, rules = (own[start:end] for start, end in pairwise((0, *starts, len(own))))
    _sh("ipset restore", "\n".join((sets.strip(), "")))
    _sh("iptables-nft-restore", rules)
    _sh(links.replace("type dummy", "type bridge"))
    listing = f"IP Virtual Server version 1.2.1 (size=4096)\n{listing.strip()}\n"
    if case.do:
        listing = _sh(case.do, listing)
    files = {"ipvsadm.txt": listing, "ipset.txt": _sh("ipset save"), "iptables-save.txt": _sh("iptables-nft-save")}
    files["addresses.txt"], files["routes.txt"] = _sh("ip -o addr"), _sh("ip route show table all")
    return {name: text for name, text in files.items() if name not in case.left_out}


def rules_text(case: Broken, mode: Mode) -> str:
    """What a proxy on worker-1 writes for the objects as they were."""
    text = case_objects(case.before, case.mode)
    text = in_ipv6(text) if case.ipv6 else text
    cluster = Cluster({"objects.yaml": parse_manifests(text.encode(), "objects.yaml", also=KINDS)})
    pods = ip_network("fd00:244::/32" if case.ipv6 else "10.244.0.0/16")
    settings = replace(
        ProxySettings(), mode=mode, cluster_cidrs=(Network(pods.network_address.packed, pods.prefixlen),)
    )
    if mode == "nftables":
        settings = replace(settings, node_port_addresses=NodePortAddresses(primary=True))
    family = Family.IPV6 if case.ipv6 else Family.IPV4
    return script(mode, cluster.decisions(settings, "worker-1")[family].rule_set(), "rr", ADDRESSES[family])


def _sh(commands: str, text: str = "") -> str:
    """What shell commands print; all of them must succeed."""
    done = subprocess.run(("sh", "-ec", commands), input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{commands}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
