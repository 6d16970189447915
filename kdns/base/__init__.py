"""The few things everything needs: errors by reaction, Kubernetes objects as small structs, addresses (and their
`octets`), ADDRESS:PORT (`listen_address`), clock and back-off. Pure, but for the clock."""
