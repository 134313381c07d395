"""``doctor``: finds out what is wrong, and why the status of a job is missing."""
