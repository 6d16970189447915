"""Tests of kdns.dns.templating."""
