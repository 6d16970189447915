"""A real Kubernetes of one node, and kdns in it.

``KDNS_REAL=DIR pytest tests/e2e/real`` as root, where DIR has the binaries and images that ``up.sh`` names, and
``bin/kubectl``; without it the tests are skipped, and nothing here builds or fetches any of that.
"""
