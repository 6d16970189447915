"""What the API server writes, decoded and packed into `kdns.base.objects`. Pure.

::

    schema      the fields in use, and the decoders of lines
      status      what the server says instead of an answer
      outside     how a Service is reached from outside the cluster
    packing     what a null or a missing field means: wire types -> objects
      routing     of Services, what only the proxy reads
      states      of EndpointSlices, what only the proxy reads
      nodes       Nodes and ServiceCIDRs
      names       names of objects and ports, checked as the API server checks them
      addresses   addresses of endpoints in their usual spelling, quickly
      spelling    other addresses and ranges, and how a bad value is quoted
    nesting     JSON that is too deep, or too large, for a decoder
"""
