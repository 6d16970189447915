"""Whether the Service proxy of a node runs and keeps up: what its ports answered, and its Pod. Pure."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from kdns.explain.case import Case
from kdns.explain.model import Item
from kdns.explain.objects import Body, field, item

BEHIND: Final = 120.0
"""Seconds: kube-proxy calls itself unhealthy after two sync periods of 30 s each; twice that is more than a hiccup."""
QUEUED: Final = re.compile(r"^kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds(\{[^}]*\})? (\S+)", re.M)
SYNCED: Final = re.compile(r"^kubeproxy_sync_proxy_rules_last_timestamp_seconds(\{[^}]*\})? (\S+)", re.M)
REFUSED: Final = re.compile(r"connection refused|couldn't connect|failed to connect", re.I)
NAMES: Final = ("kube-proxy", "kdns-proxy")


class Standing(NamedTuple):
    """One sign that the proxy does not run or stands still."""

    says: str
    evidence: tuple[Item, ...]


def standing(case: Case, node: str) -> list[Standing]:
    """All signs, the plainest first; none: nothing says that it stands still."""
    return [*_healthz(case, node), *_metrics(case, node), *_pods(case, node)]


def healthy(case: Case, node: str) -> bool:
    """The proxy itself says that it is healthy."""
    file = case.evidence.nodes.get(node, {}).get("proxy-healthz.txt")
    return file is not None and _is_healthy(file.text) and not list(_healthz(case, node))


def _is_healthy(text: str) -> bool:
    body = _json(text)
    if body is None:
        return text.strip().lower() in ("ok", "200")
    return body.get("healthy", True) is not False


def _healthz(case: Case, node: str) -> Iterator[Standing]:
    file = case.evidence.nodes.get(node, {}).get("proxy-healthz.txt")
    if file is None:
        return
    shown = (Item(file=file.path, line=1, text=file.text.strip()[:200] or file.problem),)
    if REFUSED.search(file.text):
        yield Standing("nothing answers on the proxy's health port 10256", shown)
        return
    body = _json(file.text)
    if body is None:
        if re.search(r"\b503\b|service unavailable", file.text, re.I):
            yield Standing("the proxy answers 503: it does not keep up with changes", shown)
        return
    behind = _seconds(body.get("currentTime")), _seconds(body.get("lastUpdated"))
    if body.get("healthy") is False:
        yield Standing("the proxy calls itself unhealthy: changes wait to be written", shown)
    elif behind[0] and behind[1] and behind[0] - behind[1] > BEHIND:
        yield Standing(f"the proxy wrote its rules last {behind[0] - behind[1]:.0f} s before it was asked", shown)


def _json(text: str) -> dict[str, object] | None:
    """The body, which curl -i may have put headers before."""
    start = text.find("{")
    try:
        body = json.loads(text[start:]) if start >= 0 else None
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _seconds(text: object) -> float | None:
    """Of ``2026-11-30 12:00:00.123456789 +0000 UTC m=+...`` (Go's), or RFC 3339."""
    match = re.match(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)", text) if isinstance(text, str) else None
    return datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00").timestamp() if match else None


def _metrics(case: Case, node: str) -> Iterator[Standing]:
    file = case.evidence.node_file(node, "proxy-metrics.txt")
    if file is None:
        return
    synced = {match[1] or "": (float(match[2]), match.start()) for match in SYNCED.finditer(file.text)}
    for match in QUEUED.finditer(file.text):
        last, start = synced.get(match[1] or "", (0.0, match.start()))
        if float(match[2]) - last > BEHIND:
            line = file.text.count("\n", 0, start) + 1
            shown = file.text.splitlines()[line - 1]
            says = f"the proxy was asked to write rules {float(match[2]) - last:.0f} s after it last did"
            yield Standing(says, (Item(file=file.path, line=line, text=shown),))
            return


def _pods(case: Case, node: str) -> Iterator[Standing]:
    """The proxy's Pod on this node: not there although others have one, or not running."""
    pods = [pod for pod in case.objects.all("Pod") if _is_proxy(pod)]
    here = [pod for pod in pods if field(pod, "spec.nodeName", "") == node]
    if pods and not here and case.objects.get("Node", "", node) is not None:
        yield Standing(f"no Pod of the proxy is on node {node}", tuple(item(pod, "spec.nodeName") for pod in pods[:2]))
    for pod in here:
        phase = field(pod, "status.phase", "Running")
        if phase != "Running":
            yield Standing(f"the proxy's Pod is {phase}", (item(pod, "status.phase"),))
            continue
        for place, status in enumerate(field(pod, "status.containerStatuses", [])):
            if status.get("ready") is False:
                path = f"status.containerStatuses[{place}].state"
                yield Standing("the proxy's container is not ready", (item(pod, path),))


def _is_proxy(pod: Body) -> bool:
    labels = field(pod, "metadata.labels", {})
    named = labels.get("k8s-app") or labels.get("app.kubernetes.io/name") or labels.get("app") or ""
    return named in NAMES or (
        field(pod, "metadata.namespace", "") == "kube-system" and field(pod, "metadata.name", "").startswith(NAMES)
    )
