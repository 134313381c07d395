"""Tests with servers, workers or a browser in separate processes."""
