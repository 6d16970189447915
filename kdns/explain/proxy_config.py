"""The Service proxy's configuration among the objects: kube-proxy's, or ours. Pure."""

from kdns.explain.evidence import TextFile
from kdns.explain.objects import Objects, field


def find_proxy_config(objects: Objects) -> TextFile | None:
    """kube-proxy's configuration, or ours, from the ConfigMaps."""
    for name in ("kube-proxy", "kdns-proxy", "kdns-node"):
        body = objects.get("ConfigMap", "kube-system", name)
        for key in ("config.conf", "config.yaml", "kubeproxy.yaml") if body else ():
            if text := field(body or {}, f'data["{key}"]', ""):
                return TextFile(f"ConfigMap/kube-system/{name}", text)
    return None
