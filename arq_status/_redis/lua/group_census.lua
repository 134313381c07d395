-- Count the jobs of a group.
-- ARGV: group, index of its live jobs and rank there to start at ("" and 0 at first), how many of them to
-- examine.
-- Returns: {time in ms, the group's hash, its TTL in ms or -1, {status, number, ...} of the examined jobs,
-- the sum of the progress of the running ones in millionths, {id of a job whose status is not clear,
-- ...}, {id of a job that has ended and is in a queue, ...}, index and rank to continue at, or "" and 0}.
local group, first, rank, room = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local label, queues, now = K.grouped .. group, {}, now_ms()
local fields = read('HGETALL', K.group .. group) or {}
local live, counts, unclear, done = 0, {}, {}, 0
for i = 1, #fields, 2 do
  if fields[i] == 'live' then live = tonumber(fields[i + 1]) or 0 end
  queues[#queues + 1] = string.match(fields[i], '^queue:(.*)$')
end
local function count(status) counts[status] = (counts[status] or 0) + 1 end

-- Waiting jobs: they have the status of their index if they are in the queue and not in progress.
local function look_at_waiting(status, queue, ids)
  local scores, keys = read('ZMSCORE', queue, unpack(ids)) or {}, {}
  for i, id in ipairs(ids) do keys[i] = K.arq_in_progress .. id end
  local begun = redis.call('MGET', unpack(keys))
  for i, id in ipairs(ids) do
    if not scores[i] or begun[i] then
      unclear[#unclear + 1] = id
    elseif status ~= S.waiting then
      count(status)
    else
      count(tonumber(scores[i]) > now and 'deferred' or 'queued')
    end
  end
end

-- Jobs of a live worker. Each takes as long as several waiting ones.
local function look_at_running(ids)
  room = room - 4 * #ids
  for _, id in ipairs(ids) do
    local record = redis.call('EXISTS', K.arq_in_progress .. id, K.arq_job .. id) == 2 and stored_record(id)
    if record and record[F.state] == S.working then
      count(S.working)
      local at, total = tonumber(record[F.at]) or 0, tonumber(record[F.total]) or tonumber(K.default_total)
      if total > 0 then done = done + math.max(0, math.min(1, at / total)) end
    else
      unclear[#unclear + 1] = id
    end
  end
end

-- The indexes of its live jobs: {key, function that counts the ids}.
local indexes = {}
local alive_since = now - tonumber(K.dead_after_ms)
local workers = live > 0 and read('ZREVRANGE', K.workers, 0, 1999, 'WITHSCORES') or {}
for i = 1, #workers, 2 do
  local is_alive = tonumber(workers[i + 1]) >= alive_since
  indexes[#indexes + 1] = {K.running .. workers[i] .. label, function(ids)
    if is_alive then return look_at_running(ids) end
    for _, id in ipairs(ids) do unclear[#unclear + 1] = id end
  end}
end
for _, queue in ipairs(live > 0 and queues or {}) do
  for status, key in pairs({
    [S.waiting] = K.waiting, [S.retrying] = K.retrying, [S.interrupted] = K.interrupted
  }) do
    indexes[#indexes + 1] = {key .. queue .. label, function(ids) look_at_waiting(status, queue, ids) end}
  end
end
table.sort(indexes, function(a, b) return a[1] < b[1] end)

local following = {'', 0}
for _, index in ipairs(indexes) do
  local key = index[1]
  if key >= first then
    if key > first then rank = 0 end
    while room > 0 do
      local ids = read('ZRANGE', key, rank, rank + math.min(room, 500) - 1) or {}
      if #ids == 0 then break end
      index[2](ids)
      room, rank = room - #ids, rank + #ids
      if #unclear > 500 then room = 0 end
    end
    if room <= 0 then
      following = {key, rank}
      break
    end
  end
end

-- Arq may not have stored a recorded end yet. Finding such jobs takes time proportional to the shorter of
-- the ended jobs and the queue, so it is skipped if both are long.
local ending, lookups_left = {}, first == '' and 2000 or 0
for _, name in ipairs(lookups_left > 0 and read('SMEMBERS', K.ended_sets) or {}) do
  local index = K.ended .. name .. label
  local ended = read('ZCARD', index) or 0
  for _, queue in ipairs(ended > 0 and queues or {}) do
    local shorter = math.min(ended, read('ZCARD', queue) or 0)
    if shorter > 0 and shorter <= lookups_left then
      lookups_left = lookups_left - shorter
      for _, id in ipairs(read('ZINTER', 2, queue, index) or {}) do ending[#ending + 1] = id end
    end
  end
end

local numbers = {}
for status, jobs in pairs(counts) do numbers[#numbers + 1], numbers[#numbers + 2] = status, jobs end
return {now, fields, redis.call('PTTL', K.group .. group), numbers, integer(done * 1e6), unclear, ending, following[1],
  following[2]}
