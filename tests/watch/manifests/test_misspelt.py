"""Fields that are nearly those of a Service."""

from typing import Any

import pytest

from kdns.watch.manifests.misspelt import misspelt_fields


@pytest.mark.parametrize(
    ("spec", "warnings"),
    [
        ({"prts": [{"port": 80}]}, ["unknown field spec.prts: did you mean ports?"]),
        ({"clusterIp": "10.96.0.9"}, ["unknown field spec.clusterIp: did you mean clusterIP?"]),
        ({"selectors": {"a": "b"}}, ["unknown field spec.selectors: did you mean selector?"]),
        (
            {"ports": [{"port": 80}, {"port": 81, "targetport": 8080}]},
            ["unknown field spec.ports[1].targetport: did you mean targetPort?"],
        ),
        ({"somethingOfKubernetes140": True, "ports": [{"port": 80, "nodePort": 1}]}, []),
        ({"clusterIP": "None", "clusterIPs": ["None"], "sessionAffinity": "None", "type": "ClusterIP"}, []),
        ({"ports": "80", 7: 8}, []),
        (None, []),
    ],
)
def test_fields(spec: Any, warnings: list[str]) -> None:
    """A field of no version of the API that resembles one of its fields is named with that."""
    assert list(misspelt_fields({"spec": spec})) == warnings
