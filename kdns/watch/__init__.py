"""The cluster, kept: whatever the source, a stream of events per kind, and the store they end in.

::

    cluster   one stream per wanted kind, over one session       (API server)
      reflector   list, watch, resume, relist, back off; never ends
        client      one request: list pages, streaming list, watch, newest version, an Event
          lines       chunks -> lines, bounded, pure
          credentials   who we are: the service account, or nobody
          kubeconfig    who we are: what a kubeconfig says, through the kubernetes package
            certificate   when a client certificate ends, pure
    events    Events, the only thing that is written
    files     the same events from manifests                     (folder, file, stdin)
      collection  the objects of all files together, and those that are wanted, pure
        derive      EndpointSlices where there are none, as the slice controller would write them, pure
        selectors   label and field selectors, pure
        manifests   the objects of one file, pure
          documents   bytes -> values that know their place, pure
              (`kdns.config.yaml_values`: the YAML among them, with its depth and its aliases bounded)
    schema    what the API server writes, as far as it is used, pure
      packing   that, packed -> kdns.base.objects: what a null or a missing field means, pure
        routing   of Services, what only the proxy reads, pure
        states    of EndpointSlices, what only the proxy reads, pure
        nodes     Nodes and ServiceCIDRs, pure
        spelling  addresses and ranges, and how a bad one is quoted, pure
    source    what every source says: the events, and what is wanted
    store     events -> which Service, ServiceImport, Namespace, Pod or Node changed, pure

This is the only package that talks to the API server. It knows nothing of DNS or packets: what a change means for
a zone or a rule is for those who read the changes. Nothing in here forgets an object because a connection is gone:
only an event, or a complete list that does not mention it, removes it.
"""
