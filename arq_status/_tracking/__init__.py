"""The worker's side: records what its jobs do."""
