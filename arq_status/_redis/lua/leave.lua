-- Deregister a worker; it counts as dead from now on.
-- ARGV: worker.
-- Returns: 1.
redis.call('DEL', K.worker_details .. ARGV[1], K.counted_batch .. ARGV[1])
local begun = redis.call('EXISTS', K.begun .. ARGV[1]) == 1
-- only this description shows whose the jobs without a record were
if not begun then redis.call('DEL', K.worker .. ARGV[1]) end
if begun or redis.call('EXISTS', K.running .. ARGV[1]) == 1 then
  -- it leaves jobs behind, which the next reader must find
  write('ZADD', K.workers, 0, ARGV[1])
else
  read('ZREM', K.workers, ARGV[1])
end
return 1
