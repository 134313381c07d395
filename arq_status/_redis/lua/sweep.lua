-- Remove expired jobs from the indexes, and forget workers, queues and functions that are gone.
-- ARGV: maximum number of index entries to remove.
-- Returns: 1 if there is more to do, else 0.
local now, budget, more = now_ms(), tonumber(ARGV[1]), 0

-- Remove up to `most` expired entries of an index; returns how many.
local function sweep_index(index, expires, most)
  local expired = expires and read('ZCOUNT', index, '-inf', integer(now - expires)) or 0
  if expired > most then more = 1 end
  local removed = math.min(expired, most)
  if removed > 0 then redis.call('ZREMRANGEBYRANK', index, 0, removed - 1) end
  return removed
end

-- The indexes by tag and group that have expired entries. They come first, because they expire themselves.
local left = math.floor(budget / 2)
budget = budget - left
for _, index in ipairs(read('ZRANGEBYSCORE', K.labelled, '-inf', integer(now), 'LIMIT', 0, 200) or {}) do
  local expires = tonumber(string.match(index, ':(%d+)%z'))
  left = left - sweep_index(index, expires, left)
  local oldest = expires and read('ZRANGE', index, 0, 0, 'WITHSCORES') or {}
  if oldest[2] then
    read('ZADD', K.labelled, integer(oldest[2] + expires), index)
  else
    redis.call('ZREM', K.labelled, index)
  end
end
budget = budget + left

for _, name in ipairs(read('SMEMBERS', K.ended_sets) or {}) do
  local index = K.ended .. name
  budget = budget - sweep_index(index, tonumber(string.match(name, ':(%d+)$')), budget)
  if redis.call('EXISTS', index) == 0 then redis.call('SREM', K.ended_sets, name) end
end

-- Remove stop requests of jobs that no longer exist: a random sample per sweep, which finds all of them
-- eventually.
for _, id in ipairs(read('HRANDFIELD', K.stops, 100) or {}) do
  if redis.call('EXISTS', K.arq_job .. id) == 0 then redis.call('HDEL', K.stops, id) end
end

local silent_since = integer(now - tonumber(K.dead_after_ms))
for _, worker in ipairs(read('ZRANGEBYSCORE', K.workers, '-inf', silent_since, 'LIMIT', 0, 500) or {}) do
  -- a dead worker's description is kept as long as jobs that it had started may be found
  if redis.call('EXISTS', K.running .. worker, K.worker .. worker) == 0 then
    redis.call('ZREM', K.workers, worker)
  end
end

local unannounced_since, forgotten = integer(now - tonumber(K.forgotten_after_ms)), 0
for _, queue in ipairs(read('ZRANGEBYSCORE', K.queues, '-inf', unannounced_since, 'LIMIT', 0, 1000) or {}) do
  local indexes = {K.retrying .. queue, K.interrupted .. queue, K.waiting .. queue, K.started_by_due .. queue}
  if read('EXISTS', queue, unpack(indexes)) == 0 then
    forgotten = forgotten + redis.call('ZREM', K.queues, queue)
  end
end
for _, name in ipairs(read('ZRANGEBYSCORE', K.functions_seen, '-inf', unannounced_since, 'LIMIT', 0, 500) or {}) do
  read('HDEL', K.functions, name)
  read('HDEL', K.last_cron_jobs, name)
  forgotten = forgotten + redis.call('ZREM', K.functions_seen, name)
end
local uncounted_since = integer(now - tonumber(K.counted_for_ms))
for _, name in ipairs(read('ZRANGEBYSCORE', K.counted_functions, '-inf', uncounted_since, 'LIMIT', 0, 100) or {}) do
  if read('HEXISTS', K.functions, name) ~= 1 then
    redis.call('DEL', K.minutes .. name, K.hours .. name, K.totals .. name)
    redis.call('ZREM', K.counted_functions, name)
  end
end
if forgotten > 0 then redis.call('SET', K.announced, table.concat(redis.call('TIME'), '.')) end
return more
