"""The links between a client and the Pod that answers, one file each: ``check(case)`` gives its findings. Pure.

They are strangers to each other; `LINKS` in `kdns.explain.chain` is their order.

- `client`     the Pod and its resolv.conf (E04, E05, E06)
- `search`     the names that its stub resolver tries (E02, E08, E14)
- `dns_path`   the nameserver's Service, endpoints, policies, rules and flows (E13, E16 to E20)
- `dns_server` which server block and plugin answers (E07, E11, E12, E15)
- `name`       the record, or why there is none (E01-E04, E07, E09, E10)
- `service`    type, port, protocol, families, address (E21, E22, E23, E28, E42, E43)
- `endpoints`  Pods and slices (E22, E24-E26, E29, E39)
- `rules`      desired against kernel (E30 to E38, E41); `flow`: connection tracking (E40)
- `policy`     NetworkPolicies (E17)
- `pod`        the ports that containers declare, and probes (E22, E27)
"""
