"""DNS on the cluster's own DNS address: `kdns.nodelocal`."""
