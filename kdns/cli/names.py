"""Flags that decide which objects become which names, for ``kdns serve`` and ``kdns records``."""

import argparse
import re
from typing import Any, Final

from kdns.base.errors import ConfigError
from kdns.cli.parser import Once, Parser, UsageError, value
from kdns.config.arguments import parse_namespace, parse_ttl, parse_word
from kdns.config.settings import KubernetesOptions
from kdns.records.schema import build_schema
from kdns.watch.selectors import label_selector
from kdns.wire.reverse import zone_names

ZONE: Final = re.compile(r"[A-Za-z0-9._-]+")


def add_arguments(parser: Parser) -> None:
    """What decides which objects become which names."""
    defaults = KubernetesOptions()
    modes = ("disabled", "insecure", "verified")
    add = parser.add_argument_group("names").add_argument
    parser.add_argument("--source", default="", metavar="S", action=Once,
                      help="cluster, kubeconfig[:PATH[@CONTEXT]], a file or folder of manifests, or - for stdin; "
                           "the default is cluster when kdns runs in one")  # fmt: skip
    flags: dict[str, dict[str, Any]] = {
        "--zone": {"action": "append", "type": value(parse_zone), "metavar": "ZONE",
                   "help": f"a zone or CIDR to answer for; repeatable (default: {' '.join(defaults.zones)})"},
        "--ttl": {"type": value(parse_ttl), "default": defaults.ttl, "metavar": "N",
                  "help": "seconds, 0 to 3600 (default: 5)"},
        "--pods": {"type": value(parse_word, modes), "default": defaults.pods, "metavar": "MODE",
                   "help": "names of Pods: disabled (default), insecure or verified"},
        "--namespace": {"action": "append", "type": value(parse_namespace), "metavar": "NS",
                        "help": "expose only this Namespace; repeatable"},
        "--namespace-labels": {"type": value(_selector), "default": "", "metavar": "EXPR",
                               "help": "expose only Namespaces that this label selector picks"},
        "--labels": {"type": value(_selector), "default": "", "metavar": "EXPR",
                     "help": "see only Services, EndpointSlices and Pods that this label selector picks"},
        "--endpoint-pod-names": {"action": "store_true", "help": "name endpoints after their Pods"},
        "--no-endpoints": {"action": "store_true", "help": "do not follow EndpointSlices"},
        "--multicluster": {"action": "append", "type": value(parse_zone), "metavar": "ZONE",
                           "help": "a zone for ServiceImports, such as clusterset.local; repeatable"},
        "--ignore-empty-service": {"action": "store_true", "help": "a Service without ready endpoints has no name"},
    }  # fmt: skip
    for flag, kwargs in flags.items():
        parser.flags += add(flag, **kwargs).option_strings


def kubernetes_options(arguments: argparse.Namespace) -> KubernetesOptions:
    """The kubernetes plugin's options. Raises UsageError for those that exclude each other."""
    if arguments.namespace and arguments.namespace_labels:
        raise UsageError("--namespace and --namespace-labels exclude each other", hint="keep one of them")
    imports = tuple(dict.fromkeys(arguments.multicluster or ()))
    options = KubernetesOptions(
        ttl=arguments.ttl,
        pods=arguments.pods,
        endpoint_pod_names=arguments.endpoint_pod_names,
        namespaces=tuple(arguments.namespace or ()),
        namespace_labels=arguments.namespace_labels,
        labels=arguments.labels,
        endpoints=not arguments.no_endpoints,
        ignore_empty_service=arguments.ignore_empty_service,
        zones=tuple(dict.fromkeys((*(arguments.zone or KubernetesOptions().zones), *imports))),
        multicluster=imports,
    )
    try:
        build_schema(options.zones)
    except ValueError as error:
        raise UsageError(f"--zone: {error}") from error
    try:
        build_schema(options.zones, multicluster=options.multicluster)
    except ValueError as error:
        raise UsageError(f"--multicluster: {error}") from error
    return options


def parse_zone(text: str) -> str:
    """A zone or a CIDR; zones get a dot at their end. Raises ValueError."""
    if not text.isascii():
        raise ValueError(f"{text!r} is not a zone\nwrite it in ASCII (xn--...)")
    if text == "":
        raise ValueError("a zone is not empty\nthe root is a dot")
    if "/" not in text and not ZONE.fullmatch(text):
        raise ValueError(f"{text!r} is not a zone\nletters, digits, -, _ and dots, such as cluster.local; repeatable")
    list(zone_names(text))
    return text if text.endswith(".") or "/" in text else f"{text}."


def _selector(text: str) -> str:
    try:
        label_selector(text)
    except ConfigError as error:
        raise ValueError(f"{error.problem}\n{error.hint}") from error
    return text
