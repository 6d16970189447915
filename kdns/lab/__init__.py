"""A Kubernetes-like cluster on one machine, out of network namespaces. What may live here: what builds it and asks it.

::

    plan         where every address, route and link is; pure
    wiring       the plan as lines for `ip -batch` and as sysctls; pure
    kernel       the system calls: make, enter and keep namespaces
    network      the ground: namespaces with links, and processes in them
    serving      the tiny servers of all pods, in one thread
    asking       probes with real sockets from any namespace

Nothing has a name outside: namespaces are kept by open files of the process that made them, and every process of a
lab lives in a process namespace whose first process ends when the maker does. So nothing is left behind when the
maker dies, however it dies. No link, rule or sysctl of the machine's own network is written.
"""
