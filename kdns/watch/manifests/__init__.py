"""Files and dumps as a source of objects, and the cluster that is played for manifests as people write them.

::

    folder                   which files there are, their octets, pipes; the only I/O beside `files`
    misspelt                 fields that are nearly those of the API
    documents, headers       text -> documents with places; items that are not needed are passed over
    mistakes                 problems in words
    reading, kustomization   documents -> objects that kdns keeps, and others that it plays the cluster for
    defaults, addresses      what the API server fills in: cluster IPs, families, node ports
    workloads, slices, mirror    what controllers make: Pods, EndpointSlices
    making, collection       all of it together, each object once, and a summary
    selection, files         what of it is wanted; followed as it changes

The lab completes and mirrors its objects with the same modules.

- `manifest`  what one file says, as values
"""
