"""The Job that collects evidence: valid, allowed exactly what `kdns collect` reads, and able to see a node."""

import kubernetes_validate
import pytest

from kdns.cli import main as cli
from kdns.explain.fetch import CONFIG_MAPS, EVERYTHING
from tests.kustomize import at, built, one, rights

POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"


@pytest.mark.parametrize("version", ["1.29", kubernetes_validate.latest_version()])
def test_every_object_is_valid(version: str) -> None:
    """Every object passes the strict schema of the oldest and the newest Kubernetes we name."""
    for manifest in built("collect"):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_rbac_is_what_is_read() -> None:
    """List of the kinds, get of the ConfigMaps by name and of logs: nothing else, and no Secrets."""
    manifests = built("collect")
    listed = {("list", listed.resource.group, listed.resource.plural) for listed in EVERYTHING}
    assert listed == rights(manifests, "kdns-collect")
    role = one(manifests, "Role")
    by_resource = {rule["resources"][0]: rule for rule in role["rules"]}
    assert by_resource["configmaps"]["resourceNames"] == list(CONFIG_MAPS)
    assert {tuple(rule["verbs"]) for rule in role["rules"]} == {("get",)}
    assert by_resource.keys() == {"configmaps", "pods/log"}


def test_the_pod_sees_the_node() -> None:
    """The node's network as root with the capabilities to read it, and nothing more."""
    job = one(built("collect"), "Job")
    assert at(job, f"{POD}.hostNetwork") is True
    assert at(job, f"{POD}.restartPolicy") == "Never"
    assert at(job, f"{CONTAINER}.securityContext.capabilities") == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    assert at(job, f"{CONTAINER}.securityContext.readOnlyRootFilesystem") is True
    mounts = {mount["mountPath"]: mount for mount in at(job, f"{CONTAINER}.volumeMounts")}
    assert mounts["/host/etc/resolv.conf"]["readOnly"] is True
    assert [name for name, mount in mounts.items() if not mount.get("readOnly")] == ["/out"]


def test_the_command_is_one_that_kdns_has() -> None:
    """Each call of kdns in the script parses: no flag is misspelt."""
    script = at(one(built("collect"), "Job"), f"{CONTAINER}.args")[0]
    calls = [line.removesuffix("||").split() for line in script.splitlines() if line.startswith("kdns ")]
    assert len(calls) == 2
    for words in calls:
        parsed = cli.parse([word.strip('"') for word in words[1:]])
        assert parsed.node
        assert parsed.output == "/out/evidence.tar.gz"
