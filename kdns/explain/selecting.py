"""Why a selector picks no Pod: term by term, and the nearest Pods (E24). Pure."""

from kdns.explain.model import Item
from kdns.explain.near import distance_of
from kdns.explain.objects import Body, Objects, field, item, key_of, labels_of
from kdns.explain.rows import selects

WORKLOADS = ("Deployment", "StatefulSet", "ReplicaSet", "DaemonSet")


def nothing_picked(objects: Objects, service: Body) -> tuple[str, tuple[Item, ...]]:
    """What differs, in words, and the evidence."""
    key, selector = (
        key_of(service),
        {str(name): str(value) for name, value in field(service, "spec.selector", {}).items()},
    )
    text = ",".join(f"{name}={value}" for name, value in selector.items())
    shown = item(service, "spec.selector")
    for kind in WORKLOADS:
        for body in objects.all(kind, key.namespace):
            if selects(selector, field(body, "spec.template", {})) and not _owned(body) and _wanted(body) == 0:
                return f"{kind} {key_of(body).name} is scaled to 0: no Pod has {text}", (
                    shown,
                    item(body, "spec.replicas"),
                )
    elsewhere = [pod for pod in objects.all("Pod") if selects(selector, pod)]
    if elsewhere:
        places = sorted({key_of(pod).namespace for pod in elsewhere})
        done = key.namespace in places
        says = (
            f"only Pods that have ended have {text}"
            if done
            else f"no Pod here has {text}; Pods of Namespace {', '.join(places)} have"
        )
        return says, (shown, *(item(pod, "status.phase" if done else "metadata.labels") for pod in elsewhere[:3]))
    pods = sorted(objects.all("Pod", key.namespace), key=lambda pod: _distance(selector, labels_of(pod)))
    if not pods:
        return f"no Pod has {text}: there are none in Namespace {key.namespace}", (shown,)
    labels = labels_of(pods[0])
    wrong = "; ".join(_differs(name, value, labels) for name, value in selector.items() if labels.get(name) != value)
    near = tuple(item(pod, "metadata.labels") for pod in pods[:2])
    return f"no Pod has {text}; the nearest, {key_of(pods[0]).name}: {wrong}", (shown, *near)


def _owned(body: Body) -> bool:
    return key_of(body).kind == "ReplicaSet" and bool(field(body, "metadata.ownerReferences", []))


def _wanted(body: Body) -> int:
    if key_of(body).kind == "DaemonSet":
        return 1
    number = field(body, "spec.replicas", 1)
    return number if isinstance(number, int) else 1


def _differs(name: str, value: str, labels: dict[str, str]) -> str:
    """One term of a selector against the labels of a Pod."""
    if name in labels:
        return f"{name} is {labels[name]}, not {value}"
    for other, had in labels.items():
        if had == value or (other.rpartition("/")[2] == name.rpartition("/")[2]) or distance_of(other, name) <= 1:
            return f"it has {other}={had}, not {name}={value}"
    return f"it has no label {name}"


def _distance(selector: dict[str, str], labels: dict[str, str]) -> int:
    """How far a Pod is from being picked: a wrong value by its edits, a missing key by more."""
    return sum(
        0
        if labels.get(name) == value
        else 3 + distance_of(labels[name], value)
        if name in labels
        else 5
        if value in labels.values()
        else 9
        for name, value in selector.items()
    )
