"""The cluster, kept: whatever the source, a stream of events per kind, and the store they end in.

::

    cluster   one stream per wanted kind, over one session       (API server)
      reflector   list, watch, resume, relist, back off; never ends
        client      one request: list pages, streaming list, watch, newest version
          credentials   who we are: service account, kubeconfig, nobody
      schema    the API's own spelling -> kdns.objects, pure
    files     the same events from manifests                     (folder, file, stdin)
    store     events -> which Service, Namespace or Pod changed, pure

This is the only package that talks to the API server. It knows nothing of DNS or packets: what a change means for
a zone or a rule is for those who read the changes.
"""
