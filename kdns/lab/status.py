"""``kdns lab status``: the parts and Services of labs, in columns that never cut a name, or as JSON."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from kdns.lab import labs
from kdns.lab.naming import part_of
from kdns.lab.plan import CLIENT, OUTSIDE
from kdns.lab.tools import require
from kdns.lab.workloads import is_ready

GAP = 2
"""Blanks between two columns."""


def status(name: str, form: str = "text") -> int:
    """Print the labs, or the one of a name; 1 if there is none."""
    require()
    chosen = [lab for lab in labs.labs() if lab.kept and (not name or lab.name == name)]
    if form == "json":
        json.dump([_values(lab) for lab in chosen], sys.stdout, indent=1)
        print()
        return 0 if chosen else 1
    if not chosen:
        print(f"no lab {name} is up" if name else "no lab is up")
    for lab in chosen:
        if not lab.alive:
            print(f"lab {lab.name}: its process is gone; kdns lab down removes its files")
            continue
        print(f"lab {lab.name}: process {lab.pid}, files in {lab.folder}")
        print(f"see it in a browser: {lab.pages}\n" if lab.pages else "")
        values = _values(lab)
        parts = [
            (part["name"], part["node"], ", ".join(part["addresses"]), part["ready"], part["namespace"])
            for part in values["parts"]
        ]
        print("\n".join(columns(("PART", "NODE", "ADDRESSES", "READY", "NAMESPACE"), parts)) + "\n")
        services = [
            (f"{service['namespace']}/{service['name']}", ", ".join(service["addresses"]), ", ".join(service["ports"]))
            for service in values["services"]
        ]
        print("\n".join(columns(("SERVICE", "ADDRESSES", "PORTS"), services)))
    return 0 if chosen else 1


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines whose columns are as wide as what stands in them: names are copied from there."""
    table = [head, *rows]
    widths = [max(len(row[number]) for row in table) + GAP for number in range(len(head))]
    for row in table:
        yield "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _values(lab: labs.Found) -> dict[str, Any]:
    """What is known of a lab, for JSON."""
    head = {"name": lab.name, "pid": lab.pid, "folder": str(lab.folder), "alive": lab.alive, "pages": lab.pages}
    if not lab.alive:
        return {**head, "parts": [], "services": []}
    return {**head, "parts": list(_parts(lab)), "services": list(_services(lab))}


def _parts(lab: labs.Found) -> Iterator[dict[str, Any]]:
    for node in labs.ask_api(lab, "/api/v1/nodes")["items"]:
        addresses = [entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP"]
        yield _part(node["metadata"]["name"], addresses)
    yield _part(OUTSIDE, [str(address) for address in CLIENT])
    pods = labs.ask_api(lab, "/api/v1/pods")["items"]
    for pod in sorted(pods, key=lambda pod: (str(pod["metadata"]["namespace"]), str(pod["metadata"]["name"]))):
        addresses = [entry["ip"] for entry in pod["status"].get("podIPs", ())]
        ready = "ends" if "deletionTimestamp" in pod["metadata"] else "yes" if is_ready(pod) else "no"
        part = _part(part_of(pod, lab.parts), addresses)
        yield {
            **part,
            "node": pod["spec"].get("nodeName", ""),
            "ready": ready,
            "namespace": pod["metadata"]["namespace"],
        }


def _part(name: str, addresses: list[str]) -> dict[str, Any]:
    return {"name": name, "node": "", "addresses": addresses, "ready": "", "namespace": ""}


def _services(lab: labs.Found) -> Iterator[dict[str, Any]]:
    for service in labs.ask_api(lab, "/api/v1/services")["items"]:
        metadata, spec = service["metadata"], service["spec"]
        yield {
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "type": spec.get("type", "ClusterIP"),
            "addresses": spec.get("clusterIPs") or [spec.get("externalName", "")],
            "ports": [f"{port['port']}/{port['protocol']}" for port in spec.get("ports") or ()],
        }
