-- A worker's heartbeat.
-- ARGV: worker, lifetime of its descriptions in ms, description (JSON), queue.
-- Returns: {time in ms, 1 if Redis knew the worker and the queue, else 0}.
local now = now_ms()
local known = redis.call('EXISTS', K.worker .. ARGV[1])
redis.call('SET', K.worker .. ARGV[1], ARGV[3], 'PX', ARGV[2])
redis.call('PEXPIRE', K.worker_details .. ARGV[1], ARGV[2])
write('ZADD', K.workers, now, ARGV[1])
if write('ZADD', K.queues, now, ARGV[4]) == 1 then known = 0 end
return {now, known}
