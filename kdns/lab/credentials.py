"""How the parts of a lab know its API server, and it them: a certificate, a token, a kubeconfig."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kdns.base.errors import ConfigError


def certificate(folder: Path, addresses: Sequence[str]) -> tuple[Path, Path]:
    """A new certificate for these addresses, which is its own CA, and its key: files in a folder. ConfigError."""
    cert, key = folder / "ca.crt", folder / "server.key"
    names = ",".join((*(f"IP:{address}" for address in addresses), "DNS:kubernetes.default.svc", "DNS:kubernetes"))
    command = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    rest = ("-days", "30", "-subj", "/CN=kdns-lab", "-addext", f"subjectAltName={names}")
    done = subprocess.run(
        (*command, *rest, "-out", str(cert), "-keyout", str(key)), capture_output=True, check=False, text=True
    )
    if done.returncode:
        raise ConfigError(f"openssl made no certificate: {done.stderr.strip()[-500:]}")
    return cert, key


def kubeconfig(server: str, ca: Path, token: str) -> str:
    """A kubeconfig with one context (JSON is YAML)."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": "lab", "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
    }
    return json.dumps(config, indent=2) + "\n"
