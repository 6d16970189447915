"""Tests of kdns.dns.lang.template."""
