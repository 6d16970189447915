"""Packets with real sockets in the lab: what arrives must be what `kdns.proxy.trace` says of the rules.

::

    shapes   the Services of the table, and the rules of each node for them
    worlds   how the nodes are set up: local detector, node port addresses...
    ground   the lab's network with the rules of a mode in it
    cells    who asks for what, and what trace expects of it
    table    all of it together: cells that came out otherwise, in words

`test_flows` runs it on this machine's kernel; `test_flows_ipvs` in User-Mode Linux, where ``python -m
tests.proxy.flows MODE`` prints what came of it.
"""
