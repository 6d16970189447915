"""The commands on the command line; those about the Service data path are in `kdns.cli.proxy_parsers`.

Bare flags mean ``serve``, and may be CoreDNS's. What an operator got wrong is told on stderr, with a hint, and exit
status 1; there is no traceback.
Parts are imported by the command that needs them, so that ``kdns --help`` is quick.
"""

import argparse
import asyncio
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, cast

from msgspec.structs import replace

from kdns import __version__
from kdns.base.errors import ConfigError
from kdns.cli import early
from kdns.cli import proxy_parsers as cli_proxy
from kdns.config.arguments import (
    near,
    parse_duration,
    parse_listen,
    parse_namespace,
    parse_pause,
    parse_port,
    parse_ttl,
    parse_word,
)
from kdns.config.flags import DEFAULT_COREFILE, GO_FLAGS, as_commands
from kdns.config.kubeproxy import flags as kubeproxy
from kdns.config.settings import KubernetesOptions, ServeSettings
from kdns.config.source import IN_CLUSTER, pick_source
from kdns.lab.flags import add_flags
from kdns.records.schema import build_schema
from kdns.watch.selectors import label_selector
from kdns.wire.reverse import zone_names

ZONE: Final = re.compile(r"[A-Za-z0-9._-]+")
OF_THE_COREFILE: Final = (
    "--listen", "--zone", "--ttl", "--pods", "--namespace", "--namespace-labels", "--labels", "--endpoint-pod-names",
    "--no-endpoints", "--ignore-empty-service", "--fallthrough", "--startup-timeout", "--health", "--ready",
    "--metrics", "--lameduck", "--shortnames",
)  # fmt: skip
"""Flags of ``serve`` that only go without a Corefile."""


class Parser(argparse.ArgumentParser):
    """argparse that raises ConfigError instead of leaving, and knows its flags for suggestions."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.flags: list[str] = []
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        """As argparse has it; long flags are remembered."""
        action = super().add_argument(*args, **kwargs)
        self.flags += action.option_strings
        return action

    def error(self, message: str) -> NoReturn:
        """What argparse found wrong, as a ConfigError, in our words where its own leave out what to do."""
        problem, _, hint = message.removeprefix("argument ").partition("\n")
        if missing := re.fullmatch(r"the following arguments are required: (.+)", problem):
            problem, hint = f"{missing[1]} is missing", f"{self.prog} --help says what there is"
        if choice := re.fullmatch(r"(.+): invalid choice: '(.*)' \(choose from (.+)\)", problem):
            known = choice[3].replace("'", "").split(", ")
            problem, hint = f"{choice[1]}: {choice[2]!r} is none of {', '.join(known)}", near(choice[2], known)
        raise ConfigError(problem, hint=hint)


def value(parse: Callable[..., Any], *known: Any) -> Callable[[str], Any]:
    """A reader of values for argparse: what ValueError says reaches the operator as it is."""

    def read(text: str) -> Any:
        try:
            return parse(text, *known)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def parser() -> tuple[Parser, dict[str, Parser]]:
    """The whole command line, and each command's own part of it."""
    top = Parser(prog="kdns", description="A Kubernetes cluster's DNS server and Service proxy.")
    top.add_argument("--version", action="store_true", help="print the version and leave")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    parts = {
        "serve": commands.add_parser("serve", help="answer for a cluster, or for a folder of manifests"),
        "proxy": commands.add_parser("proxy", help="program this node's kernel for Services, as kube-proxy does"),
        "node": commands.add_parser("node", help="both of them in one process, for one node"),
        "check": commands.add_parser("check", help="say what is wrong with a Corefile, or what it would do"),
        "demo": commands.add_parser("demo", help="serve an example cluster on this machine, and show it"),
        "lab": commands.add_parser("lab", help="a cluster of network namespaces on this machine, to try things in"),
        "records": commands.add_parser("records", help="print every record, and the object it came from"),
        "rules": commands.add_parser("rules", help="print what proxy would write, for reading or comparing"),
        "plugins": commands.add_parser("plugins", help="list the directives that a Corefile may name"),
        "version": commands.add_parser("version", help="print the version"),
    }
    for name in ("serve", "records"):
        _add_kubernetes(parts[name])
    _add_serve(parts["serve"])
    _add_demo(parts["demo"])
    add_flags(parts["lab"])
    for name in ("serve", "check", "plugins"):
        _add_corefile(parts[name], name)
    for name, flags in cli_proxy.add_flags(parts).items():
        parts[name].flags += flags
    records = parts["records"]
    records.add_argument("-o", "--output", type=value(parse_word, ("zone", "json")), default="zone", metavar="FORM",
                         help="zone (a master file, the default) or json")  # fmt: skip
    records.add_argument("name", nargs="?", default="", metavar="NAME", help="only this name and those below it")
    return top, parts


def _add_kubernetes(part: Parser) -> None:
    """What decides which objects become which names."""
    defaults = KubernetesOptions()
    modes = ("disabled", "insecure", "verified")
    add = part.add_argument_group("names").add_argument
    part.add_argument("--source", default="", metavar="S",
                      help="cluster, kubeconfig[:PATH[@CONTEXT]], a file or folder of manifests, or - for stdin; "
                           "the default is cluster when kdns runs in one")  # fmt: skip
    flags: dict[str, dict[str, Any]] = {
        "--zone": {"action": "append", "type": value(_zone), "metavar": "ZONE",
                   "help": f"a zone or CIDR to answer for; again for more ({' '.join(defaults.zones)})"},
        "--ttl": {"type": value(parse_ttl), "default": defaults.ttl, "metavar": "N", "help": "seconds, 0 to 3600 (5)"},
        "--pods": {"type": value(parse_word, modes), "default": defaults.pods, "metavar": "MODE",
                   "help": "names of Pods: disabled (default), insecure or verified"},
        "--namespace": {"action": "append", "type": value(parse_namespace), "metavar": "NS",
                        "help": "expose only this Namespace; again for more"},
        "--namespace-labels": {"type": value(_selector), "default": "", "metavar": "EXPR",
                               "help": "expose only Namespaces that this label selector picks"},
        "--labels": {"type": value(_selector), "default": "", "metavar": "EXPR",
                     "help": "see only Services, EndpointSlices and Pods that this label selector picks"},
        "--endpoint-pod-names": {"action": "store_true", "help": "name endpoints after their Pods"},
        "--no-endpoints": {"action": "store_true", "help": "do not follow EndpointSlices"},
        "--multicluster": {"action": "append", "type": value(_zone), "metavar": "ZONE",
                           "help": "a zone for ServiceImports, such as clusterset.local; again for more"},
        "--ignore-empty-service": {"action": "store_true", "help": "a Service without ready endpoints has no name"},
    }  # fmt: skip
    for flag, kwargs in flags.items():
        part.flags += add(flag, **kwargs).option_strings


def _add_corefile(part: Parser, name: str) -> None:
    """Flags about a Corefile, for the commands that read one."""
    port = ServeSettings().port
    if name != "plugins":
        default = "" if name == "serve" else DEFAULT_COREFILE
        part.add_argument("--conf", default=default, metavar="FILE", help="a Corefile, or stdin for standard input")
    if name == "check":
        part.add_argument("--port", type=value(parse_port), default=port, metavar="N", help="of zones without one (53)")
    if name == "serve":
        part.add_argument("--quiet", action="store_true", help="say nothing at start-up")
    part.add_argument("--plugins", default="", metavar="DIR", help="a folder with more plugins, in Python")


def _add_serve(part: Parser) -> None:
    defaults = ServeSettings()
    seconds = value(parse_duration)
    flags: dict[str, dict[str, Any]] = {
        "--listen": {"action": "append", "type": value(parse_listen), "metavar": "ADDR",
                     "help": "an IP address to bind; again for more (every address)"},
        "--port": {"type": value(parse_port), "default": defaults.port, "metavar": "N", "help": "UDP and TCP (53)"},
        "--fallthrough": {"nargs": "*", "type": value(_zone), "metavar": "ZONE",
                          "help": "pass on names that do not exist, in these zones (all)"},
        "--shortnames": {"action": "store_true", "help": "answer service.namespace as it stands, too"},
        "--startup-timeout": {"type": seconds, "default": defaults.kubernetes.startup_timeout, "metavar": "S",
                              "help": "wait so long for the cluster before serving what there is (5s)"},
        "--health": {"default": defaults.health, "metavar": "ADDR", "help": "/health; '' for off (:8080)"},
        "--ready": {"default": defaults.ready, "metavar": "ADDR", "help": "/ready; '' for off (:8181)"},
        "--metrics": {"default": defaults.metrics, "metavar": "ADDR", "help": "/metrics; '' for off (:9153)"},
        "--lameduck": {"type": seconds, "default": defaults.lameduck, "metavar": "S",
                       "help": "after SIGTERM answer so long while not ready (0s)"},
        "--watch-timeout": {"type": value(parse_pause), "default": defaults.watch_timeout, "metavar": "S",
                            "help": "a watch that is silent so long is broken (90s)"},
        "--log-format": {"type": value(parse_word, ("text", "json")), "default": defaults.log_format,
                         "metavar": "FORM", "help": "text (default) or json"},
    }  # fmt: skip
    for flag, kwargs in flags.items():
        part.add_argument(flag, **kwargs)


def _add_demo(part: Parser) -> None:
    part.add_argument("--port", type=value(parse_port), default=1053, metavar="N", help="UDP and TCP (1053)")
    part.add_argument("--folder", default="", metavar="PATH", help="put the example here and keep it (a temporary one)")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line as a namespace; ``command`` is always set. Raises ConfigError for what cannot be read."""
    top, parts = parser()
    words, bare = as_commands(argv, tuple(parts))
    if words[:1] and words[0] in cli_proxy.COMMANDS:
        words = [words[0], *kubeproxy.normalized(words[1:])]
    first = next((word for word in words if not word.startswith("-")), "")
    if first and first not in parts:
        raise ConfigError(f"{first!r} is no command", hint=near(first, parts) or f"there are {', '.join(parts)}")
    arguments, unknown = top.parse_known_args(words)
    if arguments.version:
        arguments.command = "version"
    if unknown:
        flag = unknown[0].partition("=")[0]
        command = f"kdns {arguments.command}" if arguments.command and not bare else "kdns"
        problem = f"{flag!r} is no flag of {command}" if flag.startswith("-") else f"{command} takes no {flag!r}"
        flags = [*parts[arguments.command].flags, *top.flags * bare, *GO_FLAGS * bare]
        raise ConfigError(problem, hint=near(flag, flags) or f"{command} --help says what there is")
    if not arguments.command:
        raise ConfigError(f"say what to do: {', '.join(parts)}", hint="kdns --help says more")
    if bare and not arguments.conf:
        arguments.conf = DEFAULT_COREFILE
    _check_conf(arguments, parts["serve"])
    return arguments


def _check_conf(arguments: argparse.Namespace, part: Parser) -> None:
    """Raise ConfigError for flags of ``serve`` that say what its Corefile has to say."""
    if arguments.command == "serve" and arguments.conf:
        for flag in OF_THE_COREFILE:
            name = flag.removeprefix("--").replace("-", "_")
            if getattr(arguments, name) != part.get_default(name):
                raise ConfigError(f"{flag} does not go with a Corefile", hint="say it there: see docs/operating.md")


def kubernetes_options(arguments: argparse.Namespace) -> KubernetesOptions:
    """The kubernetes plugin's options. Raises ConfigError for those that exclude each other."""
    if arguments.namespace and arguments.namespace_labels:
        raise ConfigError("--namespace and --namespace-labels exclude each other", hint="keep one of them")
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
        raise ConfigError(f"--zone: {error}") from error
    try:
        build_schema(options.zones, multicluster=options.multicluster)
    except ValueError as error:
        raise ConfigError(f"--multicluster: {error}") from error
    return options


def serve_settings(arguments: argparse.Namespace, environ: Mapping[str, str]) -> ServeSettings:
    """The settings of ``kdns serve``. Raises ConfigError for what does not go together."""
    if arguments.conf:
        return ServeSettings(
            source=pick_source(arguments.source, environ) if arguments.source or environ.get(IN_CLUSTER) else "",
            port=arguments.port,
            watch_timeout=arguments.watch_timeout,
            log_format=arguments.log_format,
            corefile=arguments.conf,
            plugins=arguments.plugins,
            quiet=arguments.quiet,
        )
    fallthrough = None if arguments.fallthrough is None else tuple(arguments.fallthrough) or (".",)
    return ServeSettings(
        source=pick_source(arguments.source, environ),
        listen=tuple(dict.fromkeys(arguments.listen or ("",))),
        port=arguments.port,
        kubernetes=replace(
            kubernetes_options(arguments), fallthrough=fallthrough, startup_timeout=arguments.startup_timeout
        ),
        shortnames=arguments.shortnames,
        health=arguments.health,
        ready=arguments.ready,
        metrics=arguments.metrics,
        lameduck=arguments.lameduck,
        watch_timeout=arguments.watch_timeout,
        log_format=arguments.log_format,
        quiet=arguments.quiet,
    )


def _zone(text: str) -> str:
    if not text.isascii():
        raise ValueError(f"{text!r} is no zone\nwrite it in ASCII (xn--...)")
    if text == "":
        raise ValueError("an empty text is no zone\nthe root is a dot")
    if "/" not in text and not ZONE.fullmatch(text):
        raise ValueError(f"{text!r} is no zone\nletters, digits, -, _ and dots, such as cluster.local; again for more")
    list(zone_names(text))
    return text if text.endswith(".") or "/" in text else f"{text}."


def _selector(text: str) -> str:
    try:
        label_selector(text)
    except ConfigError as error:
        raise ValueError(f"{error.problem}\n{error.hint}") from error
    return text


def _serve(arguments: argparse.Namespace) -> int:
    from kdns.dns.server.app import serve  # noqa: PLC0415 - see above
    from kdns.ops import logs  # noqa: PLC0415 - see above

    settings = serve_settings(arguments, os.environ)
    logs.set_up(settings.log_format)
    return asyncio.run(serve(settings))


def _check(arguments: argparse.Namespace) -> int:
    from kdns.dns.server.app import check  # noqa: PLC0415 - see above
    from kdns.ops import logs  # noqa: PLC0415 - see above

    logs.set_up(stream=sys.stderr)
    for line in check(ServeSettings(corefile=arguments.conf, port=arguments.port, plugins=arguments.plugins)):
        print(line)
    return 0


def _plugins(arguments: argparse.Namespace) -> int:
    from kdns.dns.server.registry import Registry  # noqa: PLC0415 - see above

    for name in Registry(arguments.plugins).names():
        print(name)
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from kdns.demo import demo  # noqa: PLC0415 - see above

    return asyncio.run(demo(arguments.port, arguments.folder))


def _lab(arguments: argparse.Namespace) -> int:
    from kdns.lab.commands import run  # noqa: PLC0415 - see above

    return run(arguments)


def _records(arguments: argparse.Namespace) -> int:
    from kdns.dns.server.app import print_records  # noqa: PLC0415 - see above
    from kdns.ops import logs  # noqa: PLC0415 - see above

    options = kubernetes_options(arguments)
    source = pick_source(arguments.source, os.environ)
    logs.set_up(stream=sys.stderr)
    return asyncio.run(print_records(source, options, form=arguments.output, name_text=arguments.name))


def _version(_arguments: argparse.Namespace) -> int:
    print(f"kdns-{__version__}")
    print(f"{platform.system().lower()}/{platform.machine()}, python{platform.python_version()}")
    return 0


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "serve": _serve, "check": _check, "demo": _demo, "lab": _lab, "records": _records, "plugins": _plugins,
    "version": _version, **cli_proxy.COMMANDS,
}  # fmt: skip


SERVING: Final = frozenset({"serve", "demo", "proxy", "node"})
"""Commands with a way of their own to take signals, see `kdns.dns.server.app.Stop`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    try:
        arguments = parse(cli_proxy.argv_for_program_name() if argv is None else argv)
        if arguments.command not in SERVING:
            early.restore()
        status = COMMANDS[cast(str, arguments.command)](arguments)
        sys.stdout.flush()  # a reader that has gone is noticed here and not after main
        return status
    except ConfigError as error:
        print(f"kdns: {error}" if error.at is None else error, file=sys.stderr)  # FILE:LINE:COLUMN: as compilers do
        return 1
    except BrokenPipeError:  # kdns records | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
