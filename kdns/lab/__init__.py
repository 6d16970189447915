"""A Kubernetes-like cluster on one machine, out of network namespaces. What may live here: what builds it and asks it.

::

    plan, wiring           where every address, route and link is, and the lines for `ip -batch`; pure
    kernel, processes      the system calls: make, enter and keep namespaces; programs that end with their maker
    network                the ground: namespaces with links
    serving, asking        the tiny servers of all Pods, in one loop; probes with real sockets from any namespace
    workloads, slices      what objects ask for, and what follows from them; pure
    cluster_state, paths, refusal, api    the API server
    kubelet, cluster       Pods that run, slices that follow, an API server that tells everybody
    standard, walk, steps  the cluster that `kdns lab` shows, and the walk through it
    folder                 manifests as people write them, as objects of a lab
    labs, naming, keeper, status, commands, flags     `kdns lab up`, `run`, `exec`, `status`, `down`

Nothing has a name outside: namespaces are kept by open files of the process that made them, and every process of a
lab lives in a process namespace whose first process ends when the maker does. So nothing is left behind when the
maker dies, however it dies. No link, rule or sysctl of the machine's own network is written.

- `background`     an event loop in a thread of its own
- `credentials`    keys and certificates of the lab's API server
- `kind`           what a lab is made of: its mode, and where DNS runs
- `fetching`, `scraping`  HTTP from inside of it; what its programs count
- `pages`          the status pages of a lab
- `question`       a DNS question asked from inside of a part
- `steps_balance`  the step about load balancing
- `steps_local`    the step about a node's own DNS that dies
- `steps_outside`  the steps about ways in from outside
- `steps_restart`  the step about restarts
- `steps_explain`, `evidence`  ten ways to break it, which `kdns explain` finds; what it looks at
- `tools`          the programs that the lab needs, and their Debian packages
"""
