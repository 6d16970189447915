"""Octets in, values out, and back."""
