"""What a plugin sees: handlers, requests and responses, the parts it may ask for, zones. Plugins import this and
below.

- `chase`            where a CNAME leads, through the whole server
- `compiled`         sections of a response that are octets already
- `inline_task`          coroutines without tasks
- `extended_error`   why a name of the cluster has no answer, for clients that may know it (RFC 8914)
- `forward_step`     how a plugin takes part in the forward path of queries that upstreams answer
- `fair_share`       places that clients take and give back, of which none may take what others need
- `handler`          a handler answers a request; a plugin is a function around a handler
- `message_handler`  the interface between transports and deciding
- `options`          directives without options, and those of pages
- `request_values`   what query lines and expressions may use of a request
- `response_kind`    the kinds of responses (RFC 2308 section 2)
- `zone_source`      what a plugin with whole zones offers to ``transfer``
"""
