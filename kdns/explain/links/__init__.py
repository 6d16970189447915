"""The links between a client and the Pod that answers, one file each: ``check(case)`` gives its findings. Pure.

They are strangers to each other; `LINKS` in `kdns.explain.chain` is their order.

- `dns_server`  which server block and plugin answers (E07, E11, E12, E15)
- `service`  service: type, port, protocol, families (E21, E23, E43)
"""
