"""The API server's client: requests, streams of one kind each (the reflector), credentials, kubeconfig, Events.

- `audit`        whether a watch shows all there is
- `causes`       why a watch restarts, in few words
- `certificate`  when a certificate ends
- `cluster`      an API server as a source: a stream for each kind
- `events`       Events, the only thing that is written
- `failures`     all that can go wrong, as an `ApiError` and one line
- `lines`        chunks of a stream to lines, bounded
- `pace`         how often and how many at once requests are sent
- `position`     where in the history of a kind we are
- `reading`      lines of watches and items of lists to objects
- `standing`     Lost, Skipped, Resumed: what others hear, once
- `states`       what a reflector does next, as a table
- `watching`     one watch request from its first line to its end
"""
