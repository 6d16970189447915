"""Rule sets as input for iptables-restore, chain names as kube-proxy makes them. Pure.

- `fixed`          the fixed chains, and the jumps to them
- `matches`        comments, and what the local detector matches
- `removal`        all rules of the mode, taken out of a table
- `restore_input`  input whose lines know their service port
- `service`        one service port as rules
- `table`          all rules, or what differs
"""
