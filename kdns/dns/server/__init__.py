"""The composition root of DNS: a plan of each server block from the Corefile or from flags, the running blocks and what
their plugins get, the clusters they follow, reloads, and the application that runs it all until a signal ends it."""
