"""Folders of evidence, as `kdns collect` writes them, and what `kdns explain` prints of them as JSON."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import yaml

from kdns.explain.question import parse_question
from kdns.explain.run import Request, run

CLUSTER = Path(__file__).with_name("dns_cluster.yaml")
COREFILE = """\
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . 10.0.0.2
    cache 30
    loop
    reload
    loadbalance
}
"""

Body = dict[str, Any]
Edit = Callable[[Body], Body | None]
"""An object of the cluster as it should be; None: it is left out."""


def dns_objects(edit: Edit = lambda body: body, corefile: str = COREFILE) -> list[Body]:
    """The objects of `CLUSTER` with a Corefile, each edited."""
    config_map: Body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "coredns", "namespace": "kube-system"},
        "data": {"Corefile": corefile},
    }
    bodies = [*yaml.safe_load(CLUSTER.read_text())["items"], config_map]
    return [edited for body in bodies if (edited := edit(body)) is not None]


def folder(path: Path, objects: list[Body], files: Mapping[str, str]) -> Path:
    """A folder of evidence."""
    (path / "objects.yaml").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": objects}))
    for name, text in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return path


def explained(path: Path, target: str, **flags: Any) -> Body:
    """The report on a folder of evidence; ``flags`` are those of `parse_question`."""
    out = io.StringIO()
    request = Request(parse_question(target, **flags), evidence=(str(path),), output="json")

    def write(values: object, _form: str, stream: TextIO) -> None:
        json.dump(values, stream)

    status = run(request, write, colour=False, out=out)
    values: Body = json.loads(out.getvalue())
    assert status == (1 if values["verdict"] == "fault" else 0)
    return values


def link(values: Body, name: str) -> list[Body]:
    """What a report says of a link."""
    return [entry for entry in values["links"] if entry["link"] == name]


def codes(values: Body, name: str) -> list[str]:
    """``fault E07``, ``ok``... of a link, in order."""
    return [f"{entry['state']} {entry['code'] or ''}".strip() for entry in link(values, name)]
