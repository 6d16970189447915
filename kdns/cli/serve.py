"""``kdns serve``: answer DNS for a cluster, or for a folder of manifests.

Bare flags mean it, too, and may be CoreDNS's.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from kdns.base.listen_address import parse_port
from kdns.cli import names
from kdns.cli.parser import Parser, UsageError, corefile, usage_errors, value
from kdns.config.arguments import parse_listen, parse_local_address, parse_pause, parse_seconds, parse_word
from kdns.config.settings import ServeSettings
from kdns.config.source import IN_CLUSTER, pick_source

EXAMPLES = """
  kdns serve                                  # in a Pod: the cluster it runs in
  kdns serve --source ./manifests --port 1053
  kdns serve --source kubeconfig:@my-context --port 1053
  kdns -conf /etc/coredns/Corefile            # as CoreDNS is started
"""
OF_THE_COREFILE: Final = (
    "--listen", "--zone", "--ttl", "--pods", "--namespace", "--namespace-labels", "--labels", "--endpoint-pod-names",
    "--no-endpoints", "--ignore-empty-service", "--fallthrough", "--startup-timeout", "--health", "--ready",
    "--metrics", "--status", "--lameduck", "--shortnames",
)  # fmt: skip
"""Flags of ``serve`` that only go without a Corefile."""
PLUGIN_OF_FLAG: Final = {
    "--listen": "bind ADDRESS", "--zone": "a key of the server block", "--health": "health :PORT",
    "--ready": "ready :PORT", "--metrics": "prometheus :PORT", "--shortnames": "shortnames",
    "--lameduck": "health { lameduck DURATION }", "--status": "status :PORT",
}  # fmt: skip
"""What says the same in a Corefile; the others are options of `kubernetes`."""


def add_arguments(parser: Parser) -> None:
    """Add the flags of the command."""
    parser.add_argument("--conf", type=corefile, default="", metavar="FILE", help="a Corefile; - for standard input")
    parser.add_argument("--plugins", default="", metavar="DIR", help="a folder with more plugins, in Python")
    parser.add_argument("--quiet", action="store_true", help="log nothing at start-up")
    names.add_arguments(parser)
    _add_server(parser)


def _add_server(part: Parser) -> None:
    defaults = ServeSettings()
    seconds = value(parse_seconds)
    flags: dict[str, dict[str, Any]] = {
        "--listen": {"action": "append", "type": value(parse_listen), "metavar": "ADDR",
                     "help": "an IP address to bind; repeatable (default: every address)"},
        "--port": {"type": value(parse_port), "default": defaults.port, "metavar": "N",
                   "help": "UDP and TCP (default: 53)"},
        "--fallthrough": {"nargs": "*", "type": value(names.parse_zone), "metavar": "ZONE",
                          "help": "pass on names that do not exist, in these zones (default: all)"},
        "--shortnames": {"action": "store_true", "help": "answer service.namespace as it stands, too"},
        "--startup-timeout": {"type": seconds, "default": defaults.kubernetes.startup_timeout, "metavar": "S",
                              "help": "wait so long for the cluster before serving what there is (default: 5s)"},
        "--health": {"default": defaults.health, "metavar": "ADDR", "help": "/health; '' for off (default: :8080)"},
        "--ready": {"default": defaults.ready, "metavar": "ADDR", "help": "/ready; '' for off (default: :8181)"},
        "--metrics": {"default": defaults.metrics, "metavar": "ADDR", "help": "/metrics; '' for off (default: :9153)"},
        "--status": {"type": value(parse_local_address), "default": "", "metavar": "ADDR",
                     "help": "pages for a browser; :9180 is loopback only (default: off)"},
        "--lameduck": {"type": seconds, "default": defaults.lameduck, "metavar": "S",
                       "help": "after SIGTERM answer so long while not ready (default: 0s)"},
        "--watch-timeout": {"type": value(parse_pause), "default": defaults.watch_timeout, "metavar": "S",
                            "help": "a watch that is silent so long is given up (default: 150s)"},
        "--snapshot": {"default": "", "metavar": "DIR",
                       "help": "keep what is known of the cluster in this folder, for a start without the API server"},
        "--log-format": {"type": value(parse_word, ("text", "json")), "default": defaults.log_format,
                         "metavar": "FORM", "help": "text (default) or json"},
    }  # fmt: skip
    for flag, kwargs in flags.items():
        part.add_argument(flag, **kwargs)


def check_usage(arguments: argparse.Namespace, words: Sequence[str]) -> None:
    """Raise UsageError for flags that say what the Corefile has to say; ``words`` are those of the command line."""
    if arguments.conf:
        for flag in OF_THE_COREFILE:
            if any(word == flag or word.startswith(f"{flag}=") for word in words):
                plugin = PLUGIN_OF_FLAG.get(flag, f"kubernetes {{ {flag[2:].replace('-', '_')} }}")
                raise UsageError(f"{flag} does not go with a Corefile", hint=f"set it there: {plugin}")


def serve_settings(arguments: argparse.Namespace, environ: Mapping[str, str]) -> ServeSettings:
    """The settings of ``kdns serve``. Raises ConfigError for what does not go together."""
    if arguments.conf:
        return ServeSettings(
            source=pick_source(arguments.source, environ) if arguments.source or environ.get(IN_CLUSTER) else "",
            port=arguments.port,
            watch_timeout=arguments.watch_timeout,
            snapshot=arguments.snapshot,
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
            names.kubernetes_options(arguments), fallthrough=fallthrough, startup_timeout=arguments.startup_timeout
        ),
        shortnames=arguments.shortnames,
        health=arguments.health,
        ready=arguments.ready,
        metrics=arguments.metrics,
        status=arguments.status,
        lameduck=arguments.lameduck,
        watch_timeout=arguments.watch_timeout,
        snapshot=arguments.snapshot,
        log_format=arguments.log_format,
        quiet=arguments.quiet,
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it; the exit status."""
    from kdns.cli.status import dns_site, explained  # noqa: PLC0415 - `kdns --help` does without
    from kdns.dns.server.app import serve  # noqa: PLC0415 - likewise
    from kdns.ops import direct_loop, logs  # noqa: PLC0415 - likewise

    with usage_errors():
        settings = serve_settings(arguments, os.environ)
    logs.set_up(settings.log_format)
    return direct_loop.run(serve(settings, site=dns_site("kdns serve", explained(settings))))
