"""Settings as the file that says all of them, and as /configz has them. Pure."""

from typing import Any, Final

import yaml

from kdns.config.kubeproxy.fields import described
from kdns.config.kubeproxy.settings import ProxySettings

GROUP: Final = "kubeproxy.config.k8s.io"


def configz(settings: ProxySettings) -> dict[str, Any]:
    """The effective configuration under its API group, as kube-proxy's /configz; for JSON."""
    return {GROUP: described(settings)}


def as_yaml(settings: ProxySettings) -> str:
    """A file that says every word of them, for ``--write-config-to``.

    What kube-proxy's file cannot say is lost: an address that is switched off, and ``--external-ips``.
    """
    return yaml.safe_dump(described(settings), sort_keys=True, allow_unicode=True)
