"""Which part imports which library, as docs/architecture.md says."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import kdns

ROOT = Path(kdns.__file__).parent
ALONE = {
    "dns": {"dns/zonefile/record.py"},
    "dnslib": {"demo/ask.py"},
    "kubernetes": {"watch/api/kubeconfig.py"},
    "publicsuffixlist": {"dns/plugins/shortnames.py", "explain/target.py"},
    "re2": {"dns/lang/patterns.py"},
    "rich_argparse": {"cli/help.py"},
    "shtab": {"cli/completion.py"},
}
"""Libraries that one file imports, for all others."""
NEEDLESS = (
    ("kdns.proxy.app", ("dns", "dnslib", "kubernetes", "re2", "rich")),
    ("kdns.cli.print_records", ("dns", "dnslib", "kubernetes", "re2")),
    ("kdns.dns.server.app", ("dns", "dnslib", "kubernetes", "rich")),
    ("kdns.dns.plugins.forward", ("dns", "dnslib", "kubernetes", "rich")),
    ("kdns.dns.plugins.rewrite", ("dns", "dnslib", "kubernetes", "rich")),
    ("kdns.dns.plugins.file", ("dnslib", "kubernetes", "re2", "rich")),
)


def test_who_imports_what() -> None:
    """Each of these libraries is imported by one file: that which the architecture names."""
    importers = defaultdict(set)
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", getattr(node.func, "attr", "")) == "import_module"
            ):
                names += [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
            for name in names:
                importers[name.partition(".")[0]].add(str(path.relative_to(ROOT)))
    assert {library: importers[library] for library in ALONE} == ALONE


@pytest.mark.parametrize(("module", "libraries"), NEEDLESS)
def test_nothing_needless_is_imported(module: str, libraries: tuple[str, ...]) -> None:
    """A part that does not need a library starts without it."""
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in modules
    assert [library for library in libraries if library in modules] == []
