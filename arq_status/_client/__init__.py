"""Outside the worker: asks, lists, follows and controls."""
