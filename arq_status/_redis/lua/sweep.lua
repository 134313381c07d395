-- Takes out of the indexes what has expired, at most so many entries.
-- ARGV: now in ms, most entries.
-- Answers 1 where there is more to do.
local now, budget, more = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for _, name in ipairs(read('SMEMBERS', K.ended_sets) or {}) do
  local index, expires = K.ended .. name, tonumber(string.match(name, ':(%d+)$'))
  local expired = expires and read('ZCOUNT', index, '-inf', integer(now - expires)) or 0
  if expired > 0 and budget > 0 then
    redis.call('ZREMRANGEBYRANK', index, 0, math.min(expired, budget) - 1)
  end
  if expired > budget then more = 1 end
  budget = math.max(0, budget - expired)
  if redis.call('EXISTS', index) == 0 then redis.call('SREM', K.ended_sets, name) end
end
-- stops of jobs that ended without a record
for _, id in ipairs(read('HKEYS', K.stops) or {}) do
  if redis.call('EXISTS', K.arq_job .. id) == 0 then redis.call('HDEL', K.stops, id) end
end
local silent_since = integer(now_ms() - tonumber(K.dead_after))
for _, worker in ipairs(read('ZRANGEBYSCORE', K.workers, '-inf', silent_since) or {}) do
  -- a dead worker's description stays as long as jobs may be found that it had begun
  if redis.call('EXISTS', K.running .. worker, K.worker .. worker) == 0 then
    redis.call('ZREM', K.workers, worker)
  end
end
return more
