"""Files and dumps as a source of objects, and the EndpointSlices that a cluster's controller would have made of
them."""
