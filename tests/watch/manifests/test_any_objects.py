"""Whatever people write, playing the cluster for it raises nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.watch.manifests.collection import collect
from kdns.watch.manifests.reading import parse_manifests
from kdns.watch.manifests.selection import Selection
from kdns.watch.source import Want

NAMES = (
    "metadata", "name", "labels", "annotations", "ownerReferences", "uid", "spec", "status", "template", "replicas",
    "selector", "serviceName", "ordinals", "start", "parallelism", "completions", "completionMode", "containers",
    "ports", "containerPort", "hostNetwork", "hostname", "nodeName", "subsets", "addresses", "ip", "port", "protocol",
    "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "type", "nodePort", "targetPort",
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 70000) | st.text(max_size=3)
    | st.sampled_from(["web", "None", "10.96.0.9", "fd00::1", "IPv4", "IPv6", "PreferDualStack", "NodePort"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=30,
)  # fmt: skip
KINDS = {
    "Service": "v1", "Pod": "v1", "Endpoints": "v1", "Node": "v1", "ReplicationController": "v1", "Job": "batch/v1",
    "Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1",
}  # fmt: skip
TEMPLATE = st.fixed_dictionaries(
    {"spec": st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)},
    optional={"metadata": st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3)},
)
SPEC = st.fixed_dictionaries(
    {}, optional={name: VALUES for name in NAMES if name != "template"} | {"template": TEMPLATE}
)
METADATA = st.fixed_dictionaries(
    {"name": st.sampled_from(["web", "db", "w" * 250])},
    optional=dict.fromkeys(("labels", "annotations", "ownerReferences", "uid"), VALUES),
)
OBJECTS = st.sampled_from(list(KINDS)).flatmap(
    lambda kind: st.fixed_dictionaries(
        {"kind": st.just(kind), "apiVersion": st.just(KINDS[kind]), "metadata": METADATA},
        optional={"spec": SPEC, "status": VALUES, "subsets": VALUES},
    )
)


@given(st.lists(OBJECTS, max_size=4))
@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_any_objects_are_a_cluster(suffix: str, objects: list[Any]) -> None:
    """Each object is served, or left out with a warning or a problem."""
    text = json.dumps({"kind": "List", "items": objects}).encode()
    collection = collect({"a": parse_manifests(text, f"a.{suffix}")})
    Selection((Want("Service"), Want("EndpointSlice"), Want("Pod"))).pick(collection)
    list(collection.summary.lines())
