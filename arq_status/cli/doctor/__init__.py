"""``doctor``: finds out what is wrong, and why a job is missing."""
