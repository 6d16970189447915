"""Tests of kdns.dns.patterns."""
