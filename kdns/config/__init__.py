"""What an operator can decide: words become typed values here. Pure, but for `load`, which reads files.

- `arguments`, `durations`  single values as operators write them; ADDRESS:PORT is in `kdns.base.listen_address`
- `source`     where objects come from: the words of --source
- `settings`   all of them together, with their defaults
- `tokens`, `stack`, `corefile`, `directive`, `keys`, `reading`, `flags`  a Corefile, CoreDNS's flags; `load`
- `resolv_conf`  a resolv.conf, and what the kubelet writes into a Pod's
- `kubeproxy`  kube-proxy's configuration and flags
- `yaml_values`, `yaml_tree`  YAML as plain values, or as a tree in which every value knows its place;
  `yaml_quick`: dumps
"""
