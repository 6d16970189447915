"""TLS to servers that we ask: the API server and upstream resolvers."""

import ssl


def client_context(ca: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer, the server's certificate checked with a PEM file of CAs; without one with the system's.

    Chains are checked as Go does it: the stricter reading of RFC 5280 that Python 3.13 has by default refuses the CAs
    of many running clusters, which have no authority key identifier. Raises OSError, also for a file that is not PEM.
    """
    context = ssl.create_default_context(cafile=ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
