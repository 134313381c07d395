-- The jobs of a queue that are due first.
-- ARGV: queue, maximum number of jobs.
-- Returns: {id, ...}; nothing if the Redis user may not read the queue.
return read('ZRANGE', ARGV[1], 0, tonumber(ARGV[2]) - 1) or {}
