"""Tests of kdns.dns.lang.patterns."""
