"""Inside the worker: records what its jobs do."""
