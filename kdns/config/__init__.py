"""What an operator can decide: words become typed values here. Pure.

- `arguments`  single values as operators write them: durations, ports, addresses
- `settings`   all of them together, with their defaults
- `kubeproxy`  kube-proxy's configuration and flags
- `yaml_tree`  a YAML file in which every value knows its place
"""
