"""A container as a manifest has it, started in the built image as the kubelet and the container runtime would.

User, capabilities, no_new_privs, a read-only root, arguments, variables, ConfigMaps, the service account's files.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.e2e import confined
from tests.e2e.confined import EVERY, Security
from tests.e2e.image import Image
from tests.e2e.pod import TOKEN
from tests.fakes.certificates import SERVER
from tests.kustomize import Manifest, at

ACCOUNT: Final = "/run/secrets/kubernetes.io/serviceaccount"
"""/var/run is a link to /run."""
NODE_NAME, HOST_IP = "node-0", "172.18.0.2"
FIELDS: Final = {"spec.nodeName": NODE_NAME, "status.hostIP": HOST_IP}
NUMBERS: Final = {
    "NET_ADMIN": confined.NET_ADMIN,
    "NET_BIND_SERVICE": confined.NET_BIND_SERVICE,
    "NET_RAW": confined.NET_RAW,
}

ConfigMaps = Mapping[str, Mapping[str, str]]
"""By name: key -> text."""


class Container(NamedTuple):
    """All that it takes to start it."""

    image: Image
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    security: Security
    mounts: Mapping[str, Path]

    def start(self) -> subprocess.Popen[str]:
        """Begin, in the network of the calling thread."""
        return confined.start(self.image.root, self.argv, self.environ, self.security, self.mounts, own_network=False)


def container(
    image: Image,
    workload: Manifest,
    folder: Path,
    configs: ConfigMaps,
    environ: Mapping[str, str],
    *,
    part: str = "containers",
) -> Container:
    """The only container of a Deployment's or DaemonSet's Pods, or the init container; ``folder`` is for its files.

    ``environ`` is what the kubelet tells every container; it wins over the manifest where the address of the API server
    is concerned, which is another here.
    """
    pod = at(workload, "spec.template.spec")
    (spec,) = pod[part]
    variables = {each["name"]: _value(each) for each in spec.get("env", ())}
    known = {**image.environ, **variables, **environ}
    words = [*(spec.get("command") or image.entrypoint), *spec.get("args", ())]
    words = [re.sub(r"\$\((\w+)\)", lambda match: known[match[1]], word) for word in words]
    mounts = _mounts(pod, spec, folder, configs)
    for inside, ours in mounts.items():
        place = image.root / inside.lstrip("/")
        if not place.exists():
            (place if ours.is_dir() else place.parent).mkdir(parents=True, exist_ok=True)
            if ours.is_file():
                place.touch()
    return Container(image, (found(image, words[0]), *words[1:]), known, security(pod, spec), mounts)


def security(pod: Manifest, spec: Manifest) -> Security:
    """What a securityContext comes to."""
    own, all_of_it = spec.get("securityContext", {}), pod.get("securityContext", {})
    user = own.get("runAsUser", all_of_it.get("runAsUser", 0))
    assert user or not all_of_it.get("runAsNonRoot")
    privileged = own.get("privileged", False)
    if not privileged:
        assert own["capabilities"]["drop"] == ["ALL"]
    return Security(
        user,
        EVERY if privileged else tuple(NUMBERS[name] for name in own["capabilities"]["add"]),
        no_new_privs=own.get("allowPrivilegeEscalation") is False,
        read_only=own.get("readOnlyRootFilesystem", False),
        privileged=privileged,
    )


def found(image: Image, command: str) -> str:
    """Where a command is, as the container runtime finds it: what runs first must be it, not a shell."""
    places = [command] if "/" in command else [f"{folder}/{command}" for folder in image.environ["PATH"].split(":")]
    return next(place for place in places if os.path.lexists(f"{image.root}{place}"))


def _value(variable: Mapping[str, Any]) -> str:
    return str(variable["value"]) if "value" in variable else FIELDS[variable["valueFrom"]["fieldRef"]["fieldPath"]]


def _mounts(pod: Manifest, spec: Manifest, folder: Path, configs: ConfigMaps) -> dict[str, Path]:
    """Path inside -> folder or file of ours."""
    account = folder / "account"
    account.mkdir(exist_ok=True)
    (account / "token").write_text(TOKEN)
    shutil.copy(SERVER.cert, account / "ca.crt")
    (folder / "resolv.conf").write_text("nameserver 192.0.2.53\n")  # dnsPolicy Default: the node's
    mounts = {ACCOUNT: account, "/etc/resolv.conf": folder / "resolv.conf"}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in spec["volumeMounts"]:
        volume, ours = volumes[mount["name"]], folder / mount["name"]
        if volume.get("hostPath", {}).get("type") == "FileOrCreate" or mount["mountPath"].endswith(".lock"):
            ours.touch()
        else:
            ours.mkdir(exist_ok=True)
        for key, text in configs[volume["configMap"]["name"]].items() if "configMap" in volume else ():
            (ours / key).write_text(text)
        mounts[mount["mountPath"]] = ours
    for path in (folder, *mounts.values()):
        path.chmod(0o755)
    return mounts
