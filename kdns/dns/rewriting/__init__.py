"""What `rewrite` does to questions and replies, as pure functions of values.

`names` matches names and makes others of them, `replies` undoes that in replies, `edns` changes the options of a
query, and `rules` puts them together. Nothing here waits: the lookup behind a changed alias is the plugin's.

- `reading`  the words of a ``rewrite`` line become a rule
"""
