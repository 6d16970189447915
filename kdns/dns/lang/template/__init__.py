"""Go's text/template, as much of it as Corefiles use. Pure.

`tokens` cuts a text into what is copied and what is worked out, `parser` makes functions of it and reports
mistakes before anything is asked, `running` runs them, and `functions` are those that a template may call. What comes
out is read by `kdns.dns.zonefile.reading`.

There are no calls of templates, and the turns of loops are bounded, so a run is as long as its text.
"""
