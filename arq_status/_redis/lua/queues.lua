-- The number of jobs per status in some of the queues.
-- ARGV: how many queues to skip, queues...
-- Returns: {time in ms, number of queues left, {queue, queued, deferred, retrying, working, when the job
-- that has waited longest became due, or false, live workers}, ...}.
local skipped, queues, now = tonumber(ARGV[1]), queues_from(2), now_ms()
local AT_ONCE, LOOKED_AT = 20, 300

local working, workers = {}, {}
for _, worker in ipairs(read('ZRANGEBYSCORE', K.workers, integer(now - tonumber(K.dead_after_ms) + 1), '+inf',
  'LIMIT', 0, 1000) or {}) do
  local ok, described = pcall(cjson.decode, read('GET', K.worker .. worker) or '')
  local queue = ok and type(described) == 'table' and described.queue
  if queue then
    working[queue] = (working[queue] or 0) + (read('ZCARD', K.running .. worker) or 0)
    workers[queue] = (workers[queue] or 0) + 1
  end
end

-- How many jobs of a queue that have not started, according to their records, are due by a moment.
local function unstarted(queue, moment)
  local there = read('ZCOUNT', queue, '-inf', integer(moment)) or 0
  return there - (read('ZCOUNT', K.started_by_due .. queue, '-inf', integer(moment)) or 0)
end

-- When the first of them became due; by bisection, because many running jobs may come before it.
local function first_unstarted(queue)
  if unstarted(queue, now) <= 0 then return nil end
  local first = read('ZRANGE', queue, 0, 0, 'WITHSCORES') or {}
  local low, high = math.floor(tonumber(first[2]) or 0), now
  while low < high do
    local middle = math.floor((low + high) / 2)
    if unstarted(queue, middle) > 0 then high = middle else low = middle + 1 end
  end
  -- untracked jobs have no record even while they run
  local found = read('ZRANGEBYSCORE', queue, integer(low), integer(now), 'WITHSCORES', 'LIMIT', 0, LOOKED_AT) or {}
  for i = 1, #found, 2 do
    if not read('ZSCORE', K.started_by_due .. queue, found[i])
      and redis.call('EXISTS', K.arq_in_progress .. found[i]) == 0 then
      return tonumber(found[i + 1])
    end
  end
end

-- When the first of the jobs that wait for another try became due.
local function first_waiting(queue, index)
  local oldest
  for _, id in ipairs(read('ZRANGE', index, 0, LOOKED_AT - 1) or {}) do
    local due = tonumber(read('ZSCORE', queue, id) or nil)
    if due and due <= now and (not oldest or due < oldest) then oldest = due end
  end
  return oldest
end

local answer = {now, math.max(0, #queues - skipped - AT_ONCE)}
for i = skipped + 1, math.min(#queues, skipped + AT_ONCE) do
  local queue, oldest = queues[i], nil
  local queued, all = math.max(0, unstarted(queue, now)), read('ZCARD', queue) or 0
  local deferred = all - (read('ZCARD', K.started_by_due .. queue) or 0) - queued
  for _, due in pairs({
    first_unstarted(queue) or now + 1,
    first_waiting(queue, K.retrying .. queue) or now + 1,
    first_waiting(queue, K.interrupted .. queue) or now + 1,
  }) do oldest = math.min(oldest or due, due) end
  answer[#answer + 1] = {
    queue, queued, math.max(0, deferred), read('ZCARD', K.retrying .. queue) or 0, working[queue] or 0,
    oldest <= now and integer(oldest) or false, workers[queue] or 0,
  }
end
return answer
