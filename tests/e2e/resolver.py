"""A real resolver on the node: unbound with the names of a small world, and nothing beyond it."""

import asyncio
import shutil
import signal
from asyncio.subprocess import PIPE, Process
from typing import Final, Self

import pytest

from tests.e2e.pod import NODE, Pod

PATIENCE: Final = 120.0
MANY: Final = tuple(f"198.18.1.{number}" for number in range(1, 101))
"""The addresses of many.example.com: more than a datagram holds."""
WORLD: Final = (
    *(f'local-zone: "{zone}" static' for zone in (".", "example.com.", "internal.cloudapp.net.")),
    *(
        f'local-data: "{zone} 3600 IN SOA ns.example.com. admin.example.com. 1 3600 600 86400 60"'
        for zone in (".", "example.com.", "internal.cloudapp.net.")
    ),
    'local-data: "www.example.com. 300 IN A 198.18.0.80"',
    'local-data: "www.example.com. 300 IN AAAA 2001:db8:1::80"',
    'local-data: "my.database.example.com. 300 IN A 198.18.0.54"',
    'local-data: "vm.internal.cloudapp.net. 300 IN A 198.18.0.90"',
    'local-data: "_x._tcp.example.com. 300 IN SRV 1 2 3 www.example.com."',
    'local-data-ptr: "198.18.0.80 300 www.example.com"',
    'local-zone: "fresh.example.com." redirect',
    'local-data: "fresh.example.com. 300 IN A 198.18.0.81"',
    *(f'local-data: "many.example.com. 300 IN A {address}"' for address in MANY),
)
"""Below fresh.example.com every name has an address: a new name each time is never in a cache."""
CONFIG_PATH: Final = "/etc/unbound/unbound.conf"
"""As the Pod sees it; AppArmor lets Debian's unbound read nothing elsewhere."""
CONFIG: Final = f"""\
server:
  interface: {NODE}
  port: 53
  do-daemonize: no
  use-syslog: no
  logfile: ""
  verbosity: 1
  username: ""
  chroot: ""
  directory: "/"
  pidfile: ""
  do-ip6: no
  incoming-num-tcp: 500
  access-control: 0.0.0.0/0 allow
  module-config: "iterator"
  {{}}
remote-control:
  control-enable: no
"""


class Resolver:
    """``async with Resolver(pod) as resolver``; `die` and `live` as often as wanted."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._process: Process | None = None
        config = pod.etc / "unbound" / "unbound.conf"
        config.parent.mkdir(exist_ok=True)
        config.write_text(CONFIG.format("\n  ".join(WORLD)))

    async def __aenter__(self) -> Self:
        if (program := shutil.which("unbound", path="/usr/sbin:/usr/bin:/sbin:/usr/local/sbin")) is None:
            pytest.skip("unbound is not installed")
        self._program = program
        await self.live()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.die()

    async def live(self) -> None:
        """Start, and wait until it answers."""
        self._process = await asyncio.create_subprocess_exec(
            *self._pod.on_the_node(self._program, "-d", "-c", CONFIG_PATH), stderr=PIPE
        )
        stream = self._process.stderr
        assert stream is not None
        told = b""
        async with asyncio.timeout(PATIENCE):
            while b"start of service" not in told:
                line = await stream.readline()
                assert line, f"unbound ended: {told.decode()}"
                told += line

    async def die(self) -> None:
        """End at once; the port is closed from now on."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def pause(self) -> None:
        """Say nothing from now on; the port stays open."""
        self._signal(signal.SIGSTOP)

    async def go_on(self) -> None:
        """The end of a pause."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
