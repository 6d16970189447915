"""Logs, readiness, HTTP pages and metrics."""
