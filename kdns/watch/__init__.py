"""The cluster, kept: whatever the source, a stream of events per kind, and the store they end in.

::

    cluster   one stream per wanted kind, over one session       (API server)
      reflector   list, watch, resume, relist, back off; never ends
        client      one request: list pages, streaming list, watch, newest version
          lines       chunks -> lines, bounded, pure
          credentials   who we are: the service account, or nobody
          kubeconfig    who we are: what a kubeconfig says, through the kubernetes package
    files     the same events from manifests                     (folder, file, stdin)
    schema    the API's own spelling -> kdns.objects, pure
    store     events -> which Service, Namespace or Pod changed, pure

This is the only package that talks to the API server. It knows nothing of DNS or packets: what a change means for
a zone or a rule is for those who read the changes. Nothing in here forgets an object because a connection is gone:
only an event, or a complete list that does not mention it, removes it.
"""
