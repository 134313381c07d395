-- Announce a queue and the options of its functions.
-- ARGV: queue, then function and options (JSON) in turn.
-- Returns: 1.
local now = now_ms()
write('ZADD', K.queues, now, ARGV[1])
for i = 2, #ARGV, 2 do
  write('ZADD', K.functions_seen, now, ARGV[i])
  if read('HGET', K.functions, ARGV[i]) ~= ARGV[i + 1] then write('HSET', K.functions, ARGV[i], ARGV[i + 1]) end
end
-- changing this key makes readers reload queues and options
redis.call('SET', K.announced, table.concat(redis.call('TIME'), '.'))
return 1
