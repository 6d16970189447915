"""What kustomize and `kubectl patch` make of our manifests, as far as these use them; anything else is an error."""

from pathlib import Path
from typing import Any, Final

import yaml

HOUSE: Final = Path(__file__).parent.parent
MANIFESTS: Final = HOUSE / "manifests"
KNOWN: Final = {"apiVersion", "kind", "namespace", "resources", "patches"}
MERGED_BY: Final = {"containers": "name"}
"""Lists that a strategic merge patch merges, and what tells their items apart."""

Manifest = dict[str, Any]


def built(variant: str) -> list[Manifest]:
    """The objects of a kustomization, by its path below manifests: its resources, with its patches applied."""
    return _built(MANIFESTS / variant)


def _built(folder: Path) -> list[Manifest]:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert kustomization.keys() <= KNOWN
    found: list[Manifest] = []
    for name in kustomization["resources"]:
        path = folder / name
        found += _built(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
    for patch in kustomization.get("patches", ()):
        target = one(found, patch["target"]["kind"], patch["target"]["name"])
        body = yaml.safe_load(patch["patch"])
        if isinstance(body, list):
            for operation in body:
                apply(target, operation)
        elif body.pop("$patch", "") == "delete":
            assert body.keys() == {"apiVersion", "kind", "metadata"}
            assert (body["apiVersion"], body["kind"]) == (target["apiVersion"], target["kind"])
            assert body["metadata"].items() <= target["metadata"].items()
            found.remove(target)
        else:
            merge(target, body)
    identities = [(each["kind"], each["metadata"]["name"]) for each in found]
    assert len(set(identities)) == len(identities)
    return found


def apply(target: Manifest, operation: Manifest) -> None:
    """One operation of a JSON patch (RFC 6902: add, remove, replace)."""
    path = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].removeprefix("/").split("/")]
    place: Any = target
    for step in path[:-1]:
        place = place[int(step)] if isinstance(place, list) else place[step]
    last = path[-1]
    match operation["op"], place:
        case "add", list():
            assert last == "-"
            place.append(operation["value"])
        case "add", dict():
            place[last] = operation["value"]
        case "replace", list() | dict():
            key: Any = int(last) if isinstance(place, list) else last
            assert place[key] != operation["value"], f"{operation['path']} is so already"
            place[key] = operation["value"]
        case "remove", dict():
            del place[last]
        case _:
            raise AssertionError(f"a patch that is not known here: {operation}")


def merge(target: Manifest, patch: Manifest) -> None:
    """A strategic merge patch, as `kubectl patch` applies it to kinds that it knows."""
    for key, value in patch.items():
        if isinstance(value, dict):
            merge(target.setdefault(key, {}), value)
        elif isinstance(value, list):
            by = MERGED_BY[key]
            there = {each[by]: each for each in target[key]}
            for item in value:
                if item[by] in there:
                    merge(there[item[by]], item)
                else:
                    target[key].append(item)
        else:
            assert value is not None
            target[key] = value


def one(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The only object of a kind, or the one of that name."""
    (found,) = (each for each in manifests if each["kind"] == kind and name in (None, each["metadata"]["name"]))
    return found


def at(manifest: Manifest, path: str) -> Any:
    """What stands at ``a.b.0.c``; a missing key is None."""
    place: Any = manifest
    for step in path.split("."):
        if place is None:
            return None
        place = place[int(step)] if isinstance(place, list) else place.get(step)
    return place


def rights(manifests: list[Manifest], account: str) -> set[tuple[str, str, str]]:
    """What a ServiceAccount may do in the whole cluster, by our own ClusterRoles: verb, API group, plural."""
    found: set[tuple[str, str, str]] = set()
    for binding in manifests:
        if binding["kind"] != "ClusterRoleBinding":
            continue
        for subject in binding["subjects"]:
            assert subject["kind"] == "ServiceAccount"
            one(manifests, "ServiceAccount", subject["name"])
            if subject["name"] == account:
                role = one(manifests, binding["roleRef"]["kind"], binding["roleRef"]["name"])
                found |= {
                    (verb, group, resource)
                    for rule in role["rules"]
                    for group in rule["apiGroups"]
                    for resource in rule["resources"]
                    for verb in rule["verbs"]
                }
    return found
