"""Go's text/template, as much of it as Corefiles use. Pure.

`tokens` cuts a text into what is copied and what is worked out, `parser` makes functions of it and tells mistakes
before anything is asked, `functions` are those that a template may call, and `records` reads what comes out.

There are no loops and no calls of templates, so a run is as long as its text.
"""
