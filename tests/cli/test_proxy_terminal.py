"""`kdns rules` and `kdns proxy` at a terminal: help, mistakes, Services that have no rules, readers that go."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kdns import __version__, demo
from kdns.cli.main import main, parser
from kdns.config.kubeproxy.flags import FLAGS, metavar

EXAMPLE = str(Path(demo.__file__).parent)


@pytest.mark.parametrize(
    ("service", "problem", "hint"),
    [
        ("shop/crt", "no Service shop/crt,", "did you mean shop/cart?"),
        ("cart", "no Service default/cart,", "did you mean shop/cart?"),
        ("zzz", "no Service default/zzz,", "say namespace/name"),
        ("data/db", "no Service data/db, or it is headless", "say namespace/name"),
        ("my-service", "Service default/my-service is an ExternalName", "kdns records"),
    ],
)
def test_services_without_rules(service: str, problem: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong, and what to do; nothing on stdout."""
    assert main(["rules", "--source", EXAMPLE, "--service", service]) == 1
    out, errors = capsys.readouterr()
    assert out == ""
    told = errors[errors.index("kdns: ") :].splitlines()
    assert told[0].startswith(f"kdns: {problem}")
    assert hint in told[1]


def test_one_service_port_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The headline counts in English."""
    assert main(["rules", "--source", EXAMPLE, "--service", "shop/cart", "--mode", "nftables"]) == 0
    assert capsys.readouterr().out.startswith("# IPv4: 1 service port\n")


def test_a_dry_run_ends_when_its_reader_has_gone() -> None:
    """``kdns proxy --dry-run | head`` is no bug and no reason to try again."""
    words = [sys.executable, "-m", "kdns", "proxy", "--dry-run", "--source", EXAMPLE]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as dry:
        assert dry.stdout is not None
        dry.stdout.close()
        _, errors = dry.communicate(timeout=120)
    assert "Traceback" not in errors
    assert "output closed by the reader" in errors
    assert "next try" not in errors


def test_help_names_every_flag_once() -> None:
    """`--help` of proxy has all of kube-proxy's flags, each in a group; that of rules has its own first."""
    _, parts = parser()
    text = parts["proxy"].format_help()
    for name, flag in FLAGS.items():
        assert text.count(f"  --{name} {'[=BOOL]' if flag.boolean else metavar(name)}") == 1, name
    assert "VALUE" not in text
    rules = parts["rules"].format_help()
    assert rules.index("--service") < rules.index("--config FILE")
    assert "--write-config-to" not in rules
    assert rules.startswith("usage: kdns rules [--source S] [--mode M]")


def test_a_configuration_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    """The file and the reason, without numbers of errors."""
    assert main(["proxy", "--write-config-to", "/no/where/config.conf"]) == 1
    assert "cannot write /no/where/config.conf: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["proxy", "node", "rules"])
def test_the_version_is_printed_whatever_else_is_given(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As kube-proxy does, before anything is read."""
    with pytest.raises(SystemExit) as left:
        main([command, "--version", "--config", "/nowhere"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith(f"kdns-{__version__}\n")
    with pytest.raises(SystemExit):
        main([command, "--version=raw"])
    assert json.loads(capsys.readouterr().out)["version"] == __version__


def test_a_flag_of_windows_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, with the reason."""
    assert main(["proxy", "--source-vip=10.0.0.1"]) == 2
    assert "--source-vip is for nodes with Windows" in capsys.readouterr().err
