"""TLS to servers that we ask."""

import ssl
from pathlib import Path

import pytest

from kdns.ops.tls import client_context


def test_chains_are_checked_as_go_does() -> None:
    """The server is checked, with TLS 1.2 or newer, but a CA may lack the authority key identifier."""
    context = client_context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


def test_a_file_without_certificates_is_an_error(tmp_path: Path) -> None:
    """OSError, also for a file that is not PEM."""
    (tmp_path / "ca").write_text("none")
    for name in ("ca", "missing"):
        with pytest.raises(OSError, match=r".+"):
            client_context(str(tmp_path / name))
