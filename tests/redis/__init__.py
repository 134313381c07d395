"""Tests with a server."""
