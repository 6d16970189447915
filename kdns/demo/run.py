"""``kdns demo``: serve the example, ask it, show its answers, and go on serving."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from rich.console import Console
from rich.text import Text

from kdns.base.errors import ConfigError
from kdns.base.objects import RecordSource
from kdns.config.settings import KubernetesOptions, ServeSettings
from kdns.demo.ask import Question, ask
from kdns.demo.edits import tell_edits
from kdns.demo.folder import Folder, leave, prepare
from kdns.demo.show import Row, commands, table
from kdns.dns.server.app import App, Running, serve
from kdns.ops import logs
from kdns.ops.port import Answer
from kdns.records.answers import Answers
from kdns.records.reasons import Missing
from kdns.records.rrset import Result
from kdns.wire.name import parse_name
from kdns.wire.types import TYPE_TEXT

ADDRESS: Final = "127.0.0.1"
QUESTIONS: Final = (
    Question("kubernetes.default.svc.cluster.local", "A"),
    Question("kubernetes.default", "A"),
    Question("hostnames.default.svc.cluster.local", "A"),
    Question("hostnames.default.svc.cluster.local", "AAAA"),
    Question("cart.shop.svc.cluster.local", "AAAA"),
    Question("payments.shop.svc.cluster.local", "A"),
    Question("nowhere.shop.svc.cluster.local", "A"),
    Question("default-subdomain.default.svc.cluster.local", "A"),
    Question("busybox-1.default-subdomain.default.svc.cluster.local", "A"),
    Question("_dns._udp.kube-dns.kube-system.svc.cluster.local", "SRV"),
    Question("_postgresql._tcp.db.data.svc.cluster.local", "SRV", "tcp"),
    Question("my-service.default.svc.cluster.local", "A"),
    Question("10-244-0-5.default.pod.cluster.local", "A"),
    Question("10.0.96.10.in-addr.arpa", "PTR"),
    Question("7.0.244.10.in-addr.arpa", "PTR"),
    Question("dns-version.cluster.local", "TXT"),
)
"""One of each form of name that the specification has, and of each kind of "no"."""
RTYPES: Final = {text: rtype for rtype, text in TYPE_TEXT.items()}


async def demo(
    port: int,
    folder_text: str = "",
    *,
    status_at: str = "",
    site: Callable[[ServeSettings], Callable[[App], Answer]] | None = None,
) -> int:
    """Serve until a signal comes; the exit status. Raises ConfigError for what the operator must fix.

    ``site`` makes the status pages for the settings, which are served at ``status_at``, ADDRESS:PORT.
    """
    logs.set_up()
    logging.getLogger("kdns").setLevel(logging.WARNING)  # the table says it all; mistakes in edited files do not wait
    console = Terminal(highlight=False)
    folder = prepare(folder_text)
    settings = ServeSettings(
        source=str(folder.path),
        listen=(ADDRESS,),
        port=port,
        kubernetes=KubernetesOptions(pods="verified"),
        shortnames=True,
        health=f"{ADDRESS}:0",
        ready=f"{ADDRESS}:0",
        metrics=f"{ADDRESS}:0",
        status=status_at if site is not None else "",
    )
    try:
        pages = site(settings) if site is not None else None
        status = await serve(settings, partial(show, console, folder), pages)
    except ConfigError as error:
        leave(folder)
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
            raise ConfigError(error.problem, hint="kdns demo --port 0 takes any port that is free") from error
        raise
    console.print(f"\nkdns demo has ended; {leave(folder)}", soft_wrap=True)
    return status


class Terminal(Console):
    """A console whose reader may go (``kdns demo | head``): rich would leave the process from the middle of a task."""

    def on_broken_pipe(self) -> None:
        """Let the writer see the BrokenPipeError."""
        raise  # noqa: PLE0704 - rich calls this while it handles one


async def show(console: Console, folder: Folder, running: Running) -> None:
    """`explain`, then tell what edits change; end as Ctrl-C does when the reader of the output has gone."""
    try:
        await explain(console, folder, running)
        tell = partial(console.print, soft_wrap=True, markup=False)
        await tell_edits(folder.path, running.answers.records, tell)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        running.stop()


async def explain(console: Console, folder: Folder, running: Running) -> None:
    """Ask every question, and say what came back and how to ask more."""
    port = running.bound[0].port
    rows = [
        Row(question, await ask(question, ADDRESS, port), sources(running.answers, question)) for question in QUESTIONS
    ]
    console.print(
        Text.assemble("kdns serves an example cluster on ", (f"{ADDRESS} port {port}", "bold"), ", UDP and TCP.\n")
    )
    console.print(table(rows, console.width))
    console.print("\nAsk it yourself:")
    commands(console, how_to_ask(port))
    console.print("\nThe example is in this folder; edit a file, and the answers change within a second:")
    commands(console, [str(folder.path)])
    if "/" in running.urls:
        console.print("\nSee it in a browser: the Services, each with its path drawn, and why a name does not answer:")
        commands(console, [running.urls["/"]])
    console.print("\nIts metrics:")
    commands(console, [running.urls["/metrics"]])
    console.print("\nCtrl-C ends it.")


def how_to_ask(port: int) -> Sequence[str]:
    """Commands that work as they stand."""
    at = f"dig @{ADDRESS} -p {port}"
    return (
        f"{at} +short hostnames.default.svc.cluster.local",
        f"{at} _postgresql._tcp.db.data.svc.cluster.local SRV",
        f"{at} -x 10.96.0.10",
        f"{at} +short kubernetes.default",
        f"nslookup -port={port} hostnames.default.svc.cluster.local {ADDRESS}",
    )


def sources(answers: Answers, question: Question) -> tuple[RecordSource, ...]:
    """The objects an answer comes from; for an existing name without such data, those that make it exist."""
    name = parse_name(question.name)
    short = question.name.count(".") == 1  # see `shortnames`
    if short and isinstance(answers.lookup(name, RTYPES["A"]), Missing):
        name = parse_name(f"{question.name}.svc.cluster.local")
    for rtype in (question.rtype, "A", "AAAA", "SRV"):
        result = answers.lookup(name, RTYPES[rtype])
        if isinstance(result, Result) and result.answer:
            pairs = (pair for rrset in result.answer for pair in rrset.each())
            return tuple(dict.fromkeys(source for _, source in pairs if source is not None))
    return ()
