"""The Services that a wrong name may mean: elsewhere, or spelled nearly alike. Pure."""

from kdns.explain.objects import Key, Objects, key_of

MOST = 5
"""Candidates that are named."""


def elsewhere(objects: Objects, namespace: str, name: str) -> list[Key]:
    """Services of this very name in other Namespaces."""
    keys = (key_of(body) for body in objects.all("Service"))
    return [key for key in keys if key.name == name and key.namespace != namespace]


def alike(objects: Objects, namespace: str, name: str) -> list[Key]:
    """Services with nearly this name, the nearest first: those of its Namespace before others."""
    swapped = objects.get("Service", name, namespace)
    swapped_keys = [Key("Service", name, namespace)] if swapped is not None else []
    ranked: list[tuple[int, bool, Key]] = []
    for key in map(key_of, objects.all("Service")):
        distance = _distance(name, key.name)
        space = 0 if key.namespace == namespace else distance_of(namespace, key.namespace)
        limit = 1 if len(name) < 4 else 2
        if (distance <= limit and space == 0) or (distance <= 1 and space <= 2 and space < len(namespace)):
            ranked.append((distance + space, key.namespace != namespace, key))
    return [*swapped_keys, *(key for _, _, key in sorted(ranked))][:MOST]


def _distance(asked: str, name: str) -> int:
    """Edits between two names; a plural, a separator more or less, and parts in another order count as one."""
    if asked == name:
        return 0
    plain = {text.replace("-", "").rstrip("s") for text in (asked, name)}
    if len(plain) == 1 or sorted(asked.split("-")) == sorted(name.split("-")):
        return 1
    first, second = asked.split("-"), name.split("-")
    if (
        len(asked) > 3
        and (name.startswith(f"{asked}-") or asked.startswith(f"{name}-"))
        and abs(len(first) - len(second)) == 1
    ):
        return 2
    return distance_of(asked, name)


def distance_of(one: str, other: str, limit: int = 3) -> int:
    """Insertions, deletions, replacements and swaps of neighbours (optimal string alignment); at most ``limit``."""
    if abs(len(one) - len(other)) >= limit:
        return limit
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        above, before_above = row, before
        row = [at]
        for to, wanted in enumerate(other, 1):
            cost = min(above[to] + 1, row[to - 1] + 1, above[to - 1] + (letter != wanted))
            if at > 1 and to > 1 and letter == other[to - 2] and one[at - 2] == wanted:
                cost = min(cost, before_above[to - 2] + 1)
            row.append(cost)
        before = above
        if min(row) >= limit:
            return limit
    return min(row[-1], limit)
