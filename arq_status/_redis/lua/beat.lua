-- A worker's heartbeat.
-- ARGV: worker, ms that its descriptions live, description (JSON text), queue.
-- Answer: {time in ms, 1 where Redis knew worker and queue, else 0}.
local now = now_ms()
local known = redis.call('EXISTS', K.worker .. ARGV[1])
redis.call('SET', K.worker .. ARGV[1], ARGV[3], 'PX', ARGV[2])
redis.call('PEXPIRE', K.worker_details .. ARGV[1], ARGV[2])
write('ZADD', K.workers, now, ARGV[1])
if write('ZADD', K.queues, now, ARGV[4]) == 1 then known = 0 end
return {now, known}
