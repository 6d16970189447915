"""Step 2: all Pods of a Service answer, and the rules that make it so, line by line."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from kdns.lab.walk import Walk
from kdns.lab.written import TABLE, iptables_save, virtual_servers

HOSTNAMES: Final = "10.96.80.80"
CHAIN: Final = "KUBE-SVC-ODX2UBAZM7RQWOIU"
"""kube-proxy's name for default/hostnames:default over TCP."""
TEN: Final = "for i in 1 2 3 4 5 6 7 8 9 10; do busybox wget -qO- http://hostnames; done"
MORE: Final = 40
"""Ten can miss one of three Pods, once in twenty times; fifty cannot, in a lifetime."""
SEP: Final = r"-A KUBE-SEP-\S+ -s (\S+)/32 "
IPTABLES: Final = {
    r"-A PREROUTING ": "what comes into the node, from its Pods or from outside, is looked up first",
    r"-A OUTPUT ": "and so is what the node itself sends",
    r"-A KUBE-SERVICES -d (\S+)/32 -p tcp .*--dport (\d+) ": "TCP to {0}, port {1}, goes on in the Service's own chain",
    r"-A KUBE-SVC-\S+ ! -s (\S+) ": "if it comes from no Pod (they are in {0}), mark it: see the end",
    r"-A KUBE-SVC-\S+ .*--probability 0\.33": "a dice: one connection in three goes to the first Pod",
    r"-A KUBE-SVC-\S+ .*--probability 0\.50": "one in two of the others goes to the second",
    r"-A KUBE-SVC-\S+ .* -j KUBE-SEP-": "and what is left to the third, with probability 1",
    SEP: "if Pod {0} asked its own Service and got itself, mark it, too",
    r"-A KUBE-SEP-\S+ .*--to-destination (\S+)": "the packet's destination becomes {0}; the kernel remembers the flow",
    r"-A KUBE-POSTROUTING .*! --mark": "what was not marked leaves with its own source address",
    r"-A KUBE-POSTROUTING .*--set-x": "the mark has done its work",
    r"-A KUBE-POSTROUTING .*MASQUERADE": "what was marked gets the node's address, so that answers come back to it",
}
"""Rules in the order in which a packet meets them, and what each means."""
NFTABLES: Final = {
    r".*@service-ips": "address, protocol and port are looked up in one map, however many Services there are",
    r".*@service-nodeports": "if nothing was found and the address is the node's: is the port a node port?",
    r".* : goto (\S+)": "it has three endpoints, so its packets go on in the chain for three, {0}",
    r".*saddr != (\S+) jump": "if it comes from no Pod (they are in {0}), mark it: see the end",
    r".*random mod 3 map": "a dice of three; address, port and number together are looked up in the map of endpoints",
    r".*random mod 1 map": "for the moment when an endpoint has just left the map: the first one",
    r".* \. (\d+) : (\S+) \. (\d+)": "number {0} is {1}, port {2}: that is the packet's new destination",
    r".*@hairpin": "if a Pod asked its own Service and got itself, mark it, too",
    r".*== 0x0+ return": "what was not marked leaves with its own source address",
    r".*masquerade": "what was marked gets the node's address, so that answers come back to it",
}
IPVS: Final = {
    r".* rr$": "each new connection to this address goes to the next of its real servers, round robin",
    r"  -> (\S+:\d+) .*Masq    1": "the packet's destination becomes {0} (Masq), by an equal share (weight 1)",
}


def balance(walk: Walk) -> None:
    """All Pods of a Service answer, and the rules that make it so."""
    walk.title("2. One name, three Pods")
    pods = set(walk.pods(app="hostnames"))
    walk.say("busybox fetches http://hostnames ten times. Each Pod answers with its own name.")
    lines = walk.run("busybox", TEN).split()
    walk.check("ten answers, from Pods of the Service", len(lines) == 10 and set(lines) <= pods, lines)
    seen = set(lines) | walk.names(walk.ask("busybox", "TCP", HOSTNAMES, 80) for _ in range(MORE))
    walk.equal(f"asked {MORE} times more, all three Pods have answered", seen, pods)
    if walk.kind.iptables:
        _iptables(walk)
    elif walk.kind.mode == "nftables":
        _nftables(walk)
    else:
        _ipvs(walk)


def _iptables(walk: Walk) -> None:
    walk.say(
        "This is how. On its way through node-0 a packet meets these rules, and here they are in that order,",
        "each with what it means.",
    )
    command = f'{iptables_save(walk.kind)} | grep -E "^-A (KUBE-POSTROUTING|.*(portals|hostnames))"'
    rules = [line for line in walk.run("node-0", command, lambda _: False).splitlines() if line]
    walk.explain(sorted(rules, key=_order), _meaning(IPTABLES))
    mine = [rule for rule in rules if rule.startswith(f"-A {CHAIN} ")]
    walk.check(f"the chain has the name that kube-proxy gives it, {CHAIN}", bool(mine), rules)
    dice = [f"{float(match[1]):.3f}" for rule in mine if (match := re.search(r"--probability (\S+)", rule))]
    walk.equal("its dice are 1/3, 1/2, and no dice for the last", dice, ["0.333", "0.500"])
    walk.equal("it leads to three chains of endpoints", sum("-j KUBE-SEP-" in rule for rule in mine), 3)
    walk.check("what is marked is masqueraded in the end", any("-j MASQUERADE" in rule for rule in rules), rules)


def _nftables(walk: Walk) -> None:
    walk.say("This is how. What comes into node-0, and what it sends itself, is looked up in maps:")
    explain = _meaning(NFTABLES)
    walk.explain(walk.lines("node-0", f"nft list chain {TABLE} services", _rule), explain)
    lines = walk.lines("node-0", f"nft list map {TABLE} service-ips", lambda line: f"{HOSTNAMES} " in line)
    walk.explain(lines, explain)
    chain = re.search(r"goto (spread/3/\S+[^,\s}])", " ".join(lines))
    if not walk.check("the map knows the Service, and a chain for three", chain is not None, lines):
        return
    assert chain is not None
    rules = walk.lines("node-0", f"nft list chain {TABLE} {chain[1]}", _rule)
    walk.explain(rules, explain)
    walk.check("the dice has three sides", any("numgen random mod 3 map" in rule for rule in rules), rules)
    backends = walk.lines("node-0", f"nft list map {TABLE} backends-tcp", lambda line: f"{HOSTNAMES} . 80 . " in line)
    walk.explain(backends, explain)
    numbers = sorted(line[1] for backend in backends if (line := re.search(rf"{HOSTNAMES} \. 80 \. (\d+) : ", backend)))
    walk.equal("each of its numbers leads to a Pod", numbers, ["0", "1", "2"])
    walk.explain(walk.lines("node-0", f"nft list chain {TABLE} masquerading", _rule), explain)


def _ipvs(walk: Walk) -> None:
    walk.say(
        "This is how. Every address of a Service is an address of the node, on a link that leads nowhere, so",
        "that the kernel takes its packets in; its virtual servers hand them on. As `ipvsadm -ln` shows them:",
    )
    addresses = walk.run("node-0", "ip -brief -4 address show dev kube-ipvs0")
    walk.check("the cluster IP is there", f"{HOSTNAMES}/32" in addresses, addresses)
    lines = list(virtual_servers(walk.cluster.network.parts["node-0"].network))
    at = next((number for number, line in enumerate(lines) if line.startswith(f"TCP {HOSTNAMES}:80 ")), len(lines))
    mine = [line for number, line in enumerate(lines) if number < 2 or at <= number <= at + 3]
    walk.explain(mine, _meaning(IPVS))
    weights = [line.split()[-1] for line in mine[3:] if line.startswith("  -> ")]
    walk.equal("its virtual server has three real servers of weight 1", weights, ["1", "1", "1"])


def _rule(line: str) -> bool:
    """Of a chain as `nft list` prints it: not its frame."""
    return bool(line.strip()) and not line.strip().endswith(("{", "}"))


def _order(rule: str) -> tuple[str, int]:
    """A packet's way: by table of meanings, but the two rules of an endpoint's chain are together."""
    number, pattern = next((at, pattern) for at, pattern in enumerate(IPTABLES) if re.match(pattern, rule))
    of_endpoint = pattern.startswith("-A KUBE-SEP")
    return (f"{list(IPTABLES).index(SEP):02} {rule.split()[1]}" if of_endpoint else f"{number:02}"), number


def _meaning(meanings: Mapping[str, str]) -> Callable[[str], str]:
    def meaning(line: str) -> str:
        for pattern, text in meanings.items():
            if match := re.match(pattern, line):
                return text.format(*match.groups())
        return ""

    return meaning
