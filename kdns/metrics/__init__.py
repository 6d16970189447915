"""Everything that is counted, declared once: ``dns`` under CoreDNS's names, ``proxy`` under kube-proxy's, ``cluster``
what
is counted of the API server and of the watches, ``families`` what families are made with. Nothing is measured here."""
