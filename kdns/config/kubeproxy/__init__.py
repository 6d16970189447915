"""kube-proxy's configuration (KubeProxyConfiguration v1alpha1) and its flags, as typed values. Pure.

- `settings`  all of it, with kube-proxy's defaults
- `kinds`     single values: what is allowed, read from YAML or from a flag, and written again
- `fields`    the words of the file, in tables
- `reading`   a tree of values becomes settings; what does not go together
- `parsing`   the file
- `flags`     the command line
- `writing`   settings as the file that says all of them, and as /configz
"""
