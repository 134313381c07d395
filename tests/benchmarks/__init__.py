"""Benchmarks: each measures two sides in the same run and prints their ratio."""
