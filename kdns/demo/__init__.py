"""An example cluster that ships with the package, and a server that shows itself with it.

::

    *.yaml ──copied──> a folder ──followed──> kdns.dns.server.app ──> 127.0.0.1, UDP and TCP
                                                              ^
                          table of questions and answers ── ask

Nothing here is needed by ``kdns serve``, and nothing here is special: the demo is a server with settings, and asks
over its own sockets what a client may ask.

- `edits`  what an edit in the folder has changed, name by name
- `run`    the command: serve, ask, show, go on serving
- `show`   questions, answers and objects for terminals and pipes
"""

from kdns.demo.run import demo

__all__ = ["demo"]
