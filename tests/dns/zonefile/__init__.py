"""Tests of zone files."""
