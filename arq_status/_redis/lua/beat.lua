-- A worker's heartbeat, and what it announces when nobody knows it yet. Answers the time in ms.
-- ARGV: worker, ms that its description lives, description, queue, new version, function, options, ...
local known = redis.call('EXISTS', K.worker .. ARGV[1]) == 1
local now = now_ms()
redis.call('SET', K.worker .. ARGV[1], ARGV[3], 'PX', ARGV[2])
write('ZADD', K.workers, now, ARGV[1])
if known then return now end
local changed = write('SADD', K.queues, ARGV[4]) == 1
for i = 6, #ARGV, 2 do
  if read('HGET', K.functions, ARGV[i]) ~= ARGV[i + 1] then
    write('HSET', K.functions, ARGV[i], ARGV[i + 1])
    changed = true
  end
end
if changed then redis.call('SET', K.announced, ARGV[5]) end
return now
