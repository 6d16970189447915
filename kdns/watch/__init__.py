"""The cluster, kept: whatever the source, a stream of events per kind, and the store they end in.

::

    open_source   a source from its name on the command line, or from a Corefile
    follower      a source's events into the store, its changes to their consumers, and what is logged about it
    api/          the API server as a source
      cluster       one stream for each kind wanted, over one session
      reflector     list, watch, resume, relist, back off; never ends
        states        what is asked next, and what can come of it: the table, pure
        standing      what is reported of failures, pure
        watching      one watch, with the streaming list before it
          position      resource versions, and how many objects there are, pure
          audit         is that all there is?, asked every ten minutes or so, pure
        reading       lines and items -> objects, pure
      client        one request: list pages, streaming list, watch, newest version, an Event
        failures      what goes wrong -> an ApiError and one line
        lines         chunks -> lines, bounded, pure
        pace          how often and how many at once
      credentials   who we are: the service account, a client certificate, anonymous
        kubeconfig    who we are: what a kubeconfig says, through the kubernetes package, imported only then
        certificate   when a client certificate ends, pure
      events        Events, the only thing that is written
    manifests/    files as a source: folder, file, stdin
    decode/       what the API server writes -> kdns.base.objects, pure
    snapshot      what is known, as octets and back, pure; snapshot_file keeps it for the next start
    readiness     what is not known yet, and why, pure
    selectors     label and field selectors, pure
    store         events -> which Service, ServiceImport, Namespace, Pod or Node changed, pure
    recent        a change that is remembered for a while, pure
    source        what every source says: the events, and what is wanted

This is the only package that talks to the API server. It knows nothing of DNS or packets: what a change means for
a zone or a rule is up to the consumers of the changes. Nothing in here forgets an object because a connection is gone:
only an event, or a complete list that does not mention it, removes it.
"""
