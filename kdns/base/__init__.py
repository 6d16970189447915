"""The few things everything needs: errors by reaction, Kubernetes objects as small structs, clock and back-off. Pure,
but for the clock."""
