"""Who may write rules, from what /proc says of the process."""

from pathlib import Path

import pytest

from kdns.base.errors import ConfigError
from kdns.kernel.capability import require_net_admin


@pytest.mark.parametrize("effective", ["000001ffffffffff", "0000000000001000", "0000000000003000"])
def test_who_may(effective: str, tmp_path: Path) -> None:
    """root, and whoever has the one capability."""
    (tmp_path / "status").write_text(f"Name:\tkdns\nCapPrm:\t0000000000000000\nCapEff:\t{effective}\nCapBnd:\t0\n")
    require_net_admin(tmp_path / "status")


@pytest.mark.parametrize("effective", ["0000000000000000", "0000000000002000", "000001ffffffefff"])
def test_who_may_not(effective: str, tmp_path: Path) -> None:
    """One line says what is missing, the next what to do."""
    (tmp_path / "status").write_text(f"CapEff:\t{effective}\nCapBnd:\t000001ffffffffff\n")
    with pytest.raises(ConfigError, match="NET_ADMIN") as caught:
        require_net_admin(tmp_path / "status")
    assert "--dry-run" in caught.value.hint


def test_a_kernel_that_does_not_say(tmp_path: Path) -> None:
    """Nothing is refused for a line that is not there."""
    (tmp_path / "status").write_text("Name:\tkdns\n")
    require_net_admin(tmp_path / "status")
