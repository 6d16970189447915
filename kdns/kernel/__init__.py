"""The kernel of this machine, as the proxy, DNS and the lab share it: netlink, addresses, sysctls, capabilities, and
tools that are run. Nothing here knows what a Service is."""
