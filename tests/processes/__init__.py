"""Tests with servers, workers or a browser in processes of their own."""
