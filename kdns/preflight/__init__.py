"""Before kdns is installed: would it work here, what runs here now, and what would change? Nothing stays written.

- `model`     what a look comes to: one line, and what to do about it; pure
- `sockets`   which ports are taken, and by whom
- `node`      kernel, privileges, sysctls and programs of this machine
- `dns`       the Corefile, and the ports it asks for
- `proxy`     configuration, tools and kernel features of the mode, and the rules that are there
- `cluster`   the API server: rights, what is installed there, the Service of DNS

Neither DNS nor a proxy is started. The parts of a look are handed to it, so that it can be shown any machine.
"""
