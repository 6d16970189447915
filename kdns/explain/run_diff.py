"""``kdns rules --diff``: what a node's kernel has beside what the objects ask for. The edge.

With evidence, the rules are those of the files, node by node; without, this machine's own.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from kdns.base.errors import ConfigError
from kdns.base.objects import ObjectKey
from kdns.explain.bundle import text_file
from kdns.explain.case import Case
from kdns.explain.compared import Comparison
from kdns.explain.kernel.diff import Row, extra_frontends, rule_differences
from kdns.explain.kernel.ipvs import assumed_sets
from kdns.explain.kernel.node import NodeKernel
from kdns.explain.model import Client, Question, Target
from kdns.explain.node_files import Run, collect_node
from kdns.explain.run import Request, read_case
from kdns.proxy.model import Family, Mode, RuleSet
from kdns.proxy.render.ipvs.virtual_servers import here, states

WHOLE = Question(Target("every Service"), Client())
"""No Service in particular."""
TEXT_WIDTH = 160


def diff_of_evidence(
    paths: Sequence[str], source: str, proxy_config: str, *, node: str, service: str, out: TextIO
) -> int:
    """Compare each node of the evidence (or one), every Service (or one); 1 if something differs.

    Raises ConfigError for evidence that is not there, or has no rules.
    """
    case = read_case(Request(WHOLE, source, "", proxy_config, paths, large=sys.maxsize))
    names = [node] if node else sorted(case.evidence.nodes)
    if not names or not any(name in case.evidence.nodes for name in names):
        raise ConfigError(
            f"--evidence: no rules of node {node or '(any)'}", hint="node/NODE/iptables-save.txt, nft.txt"
        )
    comparison = Comparison(case, _key(case, service))
    status = 0
    for name in names:
        kernel, addresses = comparison.kernel(name), comparison.addresses(name)
        sets = [comparison.rules(name, family) for family in Family]
        rows = compare_node(kernel, sets, comparison.mode(name), addresses, whole=not service)
        status |= print_rows(f"node {name} ({comparison.mode(name)})", rows, out)
    return status


def _key(case: Case, service: str) -> ObjectKey | None:
    if not service:
        return None
    namespace, _, name = service.rpartition("/")
    key = ObjectKey("Service", namespace or "default", name)
    if key not in case.cluster.views:
        raise ConfigError(f"no Service {key.namespace}/{key.name} that a proxy serves", hint="say namespace/name")
    return key


async def diff_of_this_node(
    name: str,
    sets: Sequence[RuleSet],
    mode: Mode,
    addresses: Iterable[bytes],
    *,
    whole: bool,
    out: TextIO,
    run: Run | None = None,
) -> int:
    """Compare this machine's kernel; 1 if something differs. Raises ConfigError where its rules cannot be read.

    ``run`` runs a tool, as for `collect_node`.
    """
    files = {raw.path.rpartition("/")[2]: text_file(raw) for raw in await collect_node(name, set(), run=run)}
    rows = compare_node(NodeKernel(name, files), sets, mode, frozenset(addresses), whole=whole)
    return print_rows(f"node {name} ({mode})", rows, out)


def compare_node(
    kernel: NodeKernel, sets: Sequence[RuleSet], mode: Mode, addresses: frozenset[bytes], *, whole: bool
) -> Iterator[Row]:
    """Both families. Raises ConfigError where the rules cannot be read."""
    for rules in sets:
        if not rules.ports:
            continue
        read = kernel.rules(rules.node.family)
        for path, problem in read.problems.items():
            raise ConfigError(f"{path}: {problem}")
        if not read.files:
            raise ConfigError(
                f"no {rules.node.family.value} rules of node {kernel.name}",
                hint="they are read as root by nft, iptables-save and ipvsadm: is one of them installed?",
            )
        if mode == "ipvs" and kernel.ipsets is None:
            kernel.assume(assumed_sets(states(rules, here(rules.node, addresses), "rr"), rules.node.family))
        yield from rule_differences(rules, kernel, mode, addresses)
        if whole:
            yield from extra_frontends(rules, kernel)


def print_rows(title: str, rows: Iterable[Row], out: TextIO) -> int:
    """Lines for people: each difference, and the rules that show it; 1 if there are any."""
    count = 0
    for row in rows:
        count += 1
        if count == 1:
            out.write(f"# {title}\n")
        out.write(f"{row.where}  {row.service or '(no Service)'}  from {row.source}: {row.difference.says}\n")
        for position in row.difference.positions[:3]:
            text = " ".join(position.text.split())
            out.write(f"    {position.file}:{position.line}  {text[:TEXT_WIDTH]}\n")
    if not count:
        out.write(f"# {title}: the kernel does what the objects ask for\n")
    return 1 if count else 0
