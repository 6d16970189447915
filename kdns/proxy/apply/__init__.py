"""The edge: what is rendered goes into the kernel, and nothing is decided."""
