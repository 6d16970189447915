"""The small languages of Corefiles. Pure.

- `patterns`    regular expressions in Go's syntax (google-re2)
- `template`    Go's text/template, as much of it as Corefiles use
- `expr`        expressions about a request
- `log_format`  the formats of query lines
"""
