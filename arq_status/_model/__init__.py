"""Values and rules: what stands in Redis, what a status is, what users get. No I/O."""
