"""Static zones: a master file (RFC 1035 section 5) is read into records, and records make a zone to look names up in.

::

    lines ──> tokens ──> records ──> StaticZone ──> LookupResult: answer, referral, alias out of the zone, or a denial
      `tokens`     `reading`, `record`   `zone`, `signed`

`record` reads the data of one record of any type, for zone files and for the `template` plugin. `generate` is
$GENERATE. `hosts_table` reads files like /etc/hosts.
"""
