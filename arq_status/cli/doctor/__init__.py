"""``doctor``: checks the setup, and explains the status of a job or why it has none."""
