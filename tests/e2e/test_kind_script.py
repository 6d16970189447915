"""kind.sh, with kind, docker and kubectl played by a script: it asks what it should, and believes no wrong answer."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

import kubernetes_validate
import pytest
import yaml

from tests.kustomize import HOUSE

SCRIPT: Final = HOUSE / "tests/e2e/kind.sh"
PLAYED: Final = r"""#!/bin/sh
line="${0##*/} $*"
echo "$line" >>"$CALLS"
found() {
  printf 'Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\nName:\tname\nAddress: %s\n' "$1"
}
if [ -n "$WRONG" ]; then
  case "$line" in *"$WRONG"*) printf '%s\n' "$INSTEAD"; exit "$STATUS" ;; esac
fi
case "$line" in
  *'nslookup no-such-name'*) exit 1 ;;
  *jsonpath*) echo 10.96.80.80 ;;
  *'nslookup hostnames'*) found 10.96.80.80 ;;
  *nslookup*) found 10.96.0.1 ;;
  *wget*) echo "hostnames-$(($(wc -l <"$CALLS") % 3))" ;;
  *iptables-save*) echo '-A KUBE-SVC-ODX2UBAZM7RQWOIU -m comment --comment "kdns-check/hostnames:default"' ;;
esac
"""


class Played(NamedTuple):
    """What came of it."""

    status: int
    output: str
    calls: list[str]


def play(folder: Path, wrong: str = "", instead: str = "", status: int = 0, **environ: str) -> Played:
    """Run the script; the calls that have ``wrong`` in them print ``instead`` and end with ``status``."""
    for tool in ("kind", "docker", "kubectl", "sleep"):
        path = folder / tool
        path.write_text(PLAYED if tool != "sleep" else "#!/bin/sh\n")
        path.chmod(0o755)
    calls = folder / "calls"
    calls.touch()
    given = {"PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(calls), "WRONG": wrong, "INSTEAD": instead}
    given |= {"STATUS": str(status), **environ}
    done = subprocess.run((str(SCRIPT),), env=given, capture_output=True, check=False, text=True)
    return Played(done.returncode, done.stdout + done.stderr, calls.read_text().splitlines())


def test_the_whole_way(tmp_path: Path) -> None:
    """Image, cluster, manifests, names, Service, rules; and the cluster is deleted at the end."""
    played = play(tmp_path)
    assert played.status == 0, played.output
    expected = (
        "docker build", "kind create cluster --config manifests/overlays/kind/cluster.yaml",
        "kind load docker-image kdns:0.1.0 --name kdns", "kubectl --context kind-kdns apply -k manifests/overlays/kind",
        "rollout status daemonset/kdns-proxy", "rollout status deployment/kdns ", "apply --filename",
        "nslookup kubernetes.default", "nslookup hostnames.kdns-check", "nslookup no-such-name", "wget",
        "docker exec kdns-control-plane iptables-save", "kind delete cluster --name kdns",
    )  # fmt: skip
    met = [next(n for n, call in enumerate(played.calls) if what in call) for what in expected]
    assert met == sorted(met)
    assert met[-1] == len(played.calls) - 1


WRONGS: Final = {
    "a cluster that does not start": ("kind create", "", 1),
    "manifests that are refused": ("apply -k", "", 1),
    "a proxy that does not become ready": ("daemonset/kdns-proxy --timeout", "", 1),
    "DNS that does not answer": ("nslookup kubernetes.default.svc", "", 1),
    "another address": ("nslookup kubernetes.default", "Server:\t\t10.96.0.10\n\nAddress: 10.96.0.10", 0),
    "another server": ("nslookup kubernetes.default", "Server:\t\t8.8.8.8\n\nAddress: 10.96.0.1", 0),
    "a name that should not be": ("nslookup no-such-name", "Address: 10.0.0.1", 0),
    "one Pod only": ("wget", "hostnames-0", 0),
    "a Service that is not reached": ("wget", "", 1),
    "no rules": ("iptables-save", "", 0),
}


@pytest.mark.parametrize("what", WRONGS)
def test_what_is_wrong_is_noticed(tmp_path: Path, what: str) -> None:
    """The status says so, logs are shown, and the cluster is deleted all the same."""
    wrong, instead, status = WRONGS[what]
    played = play(tmp_path, wrong, instead, status)
    assert played.status == 1, played.output
    assert any("logs daemonset/kdns-proxy" in call for call in played.calls)
    assert played.calls[-1] == "kind delete cluster --name kdns"


def test_a_cluster_can_be_kept(tmp_path: Path) -> None:
    """For looking around."""
    played = play(tmp_path, KEEP="1")
    assert played.status == 0
    assert not any("delete" in call for call in played.calls)


def test_a_cluster_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """It may be somebody's."""
    played = play(tmp_path, "get clusters", "another\nkdns")
    assert played.status == 1
    assert played.calls == ["kind get clusters"]


def test_the_files_it_names_are_there() -> None:
    """And the image is the one in the manifests."""
    text = SCRIPT.read_text()
    names = dict(re.findall(r"^readonly (\w+)=(\S+)$", text, re.MULTILINE))
    assert (HOUSE / names["overlay"] / "kustomization.yaml").is_file()
    assert (HOUSE / names["overlay"] / "cluster.yaml").is_file()
    assert (HOUSE / names["checks"]).is_file()
    assert names["image"] in (HOUSE / "manifests/proxy/daemonset.yaml").read_text()
    assert names["cluster"] == yaml.safe_load((HOUSE / names["overlay"] / "cluster.yaml").read_text())["name"]
    assert os.access(SCRIPT, os.X_OK)
    assert shlex.split("tests/e2e/kind.sh")[0] in (HOUSE / "docs/install-kind.md").read_text()


def test_what_it_applies_is_valid() -> None:
    """By the strict schema of the newest Kubernetes."""
    for manifest in yaml.safe_load_all((HOUSE / "tests/e2e/hostnames.yaml").read_text()):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
