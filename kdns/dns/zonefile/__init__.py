"""Static zones: a master file (RFC 1035 section 5) is read into records, and records make a zone to look names up in.

::

    lines ──> tokens ──> records ──> StaticZone ──> Looked: answer, referral, alias that leads elsewhere, or "no"
      `tokens`     `reading`  `rdata`       `zone`
"""
