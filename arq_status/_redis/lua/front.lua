-- The jobs of a queue that are due first.
-- ARGV: queue, most jobs.
-- Answer: {id, ...}.
return read('ZRANGE', ARGV[1], 0, tonumber(ARGV[2]) - 1) or {}
