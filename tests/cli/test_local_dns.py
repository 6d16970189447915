"""The flags of ``kdns node`` for DNS on the cluster's own DNS address."""

import pytest

from kdns.base.errors import ConfigError
from kdns.cli.local_dns import parse_local_address, parse_service
from kdns.cli.main import parse
from kdns.cli.run_local_dns import check_mode, options
from kdns.nodelocal.parts import LocalDnsOptions
from tests.build import packed

WORDS = ["node", "--conf", "Corefile"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], None),
        (["--local-dns"], LocalDnsOptions()),
        (["--local-dns=dns/cluster"], LocalDnsOptions("dns", "cluster")),
        (
            ["--local-dns-address=10.96.0.10", "--local-dns-address", "fd00:10:96::a"],
            LocalDnsOptions(addresses=(packed("10.96.0.10"), packed("fd00:10:96::a"))),
        ),
        (["--local-dns", "--local-dns-rules=iptables"], LocalDnsOptions(rules="iptables")),
    ],
)
def test_flags(flags: list[str], expected: LocalDnsOptions | None) -> None:
    """A Service by name, or addresses, which imply it; kube-dns of kubeadm is the default."""
    assert options(parse([*WORDS, *flags])) == expected


@pytest.mark.parametrize("text", ["", "kube-dns", "/kube-dns", "kube-system/", "a/b/c"])
def test_an_invalid_service(text: str) -> None:
    """It is a Namespace and a name."""
    with pytest.raises(ConfigError, match="invalid Service"):
        parse_service(text)


@pytest.mark.parametrize("text", ["", "localhost", "10.96.0.10:53", "fe80::1%eth0"])
def test_an_invalid_address(text: str) -> None:
    """No name, no port and no zone."""
    with pytest.raises(ConfigError, match="invalid address"):
        parse_local_address(text)


def test_what_it_does_not_go_with() -> None:
    """Virtual servers of IPVS take the questions first, and a dry run writes nothing; errors name the ways out."""
    with pytest.raises(ConfigError, match="mode ipvs") as problem:
        check_mode("ipvs")
    assert "--proxy-mode=nftables" in problem.value.hint
    with pytest.raises(ConfigError, match="--dry-run"):
        check_mode("nftables", dry_run=True)
    check_mode("iptables")
    check_mode("nftables")
