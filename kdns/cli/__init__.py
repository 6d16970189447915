"""The command line: one file for each command.

::

    main          the words of the command line -> the command's module -> exit status
    commands      the commands by name, with one line about each; imports none of them
    parser        argparse that raises UsageError, and knows its flags for suggestions
    help          how help looks: plain where output is no terminal, in colour where it is
    completion    ``kdns completion bash|zsh|fish``
    early         signals before anything else is imported

    serve, check, plugins                  DNS
    proxy, node, rules                     the Service proxy; ``kubeproxy`` has its flags, ``run_proxy``, ``run_node``
                                           and ``print_rules`` what they do, ``one_shot`` what needs no cluster
    local_dns                              flags of node for DNS on the cluster's own DNS address; ``run_local_dns`` has
                                           its parts, ``local_dns_rules`` chooses and removes its rules
    records, demo, lab, version            to look at things, and to try them; ``print_records`` does what records says
    top           who asks what, shown by ``show_top``
    names         flags that decide which objects become which names, for serve and records
    output        values as JSON or YAML

Each command's module has EXAMPLES, ``add_arguments(parser)`` and ``run(arguments)``, which gives the exit status: 0, 1
for what failed, 2 for a command line that cannot be read. Only the module of the command that was asked for is
imported, and what it needs beyond its flags is imported when it runs: ``kdns --help`` reads a dozen small files.

- `kubectl`  the same commands as a plugin of kubectl
- `preflight`  whether kdns would work here; ``run_preflight`` has the looks, in the order of a reader
- `explain`, `collect`  why a name or a port does not answer, and the evidence for that in one file
"""
