"""Whole processes in a Pod of their own: everybody's Corefiles, and kubeadm's with a real resolver behind it."""
