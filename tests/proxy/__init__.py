"""What is in `kdns.proxy`: the policy as tables, modes in real kernels."""
