-- The counters of groups.

-- The counter of a job in its group, according to its record: "live" or the state in which it ended.
local function place_of_record(record)
  return has_ended(record) and tostring(record[F.state]) or 'live'
end

-- The same for a job that is lost because its id is now used by another run.
local function place_of_lost(record)
  if has_ended(record) then return record[F.state] end
  return (record[F.state] == S.waiting or record[F.state] == S.retrying) and S.failed or S.interrupted
end

-- True if a group is closed and all its jobs were deleted.
local function is_empty_group(key)
  local known, jobs = redis.call('HMGET', key, 'closed', 'live', S.complete, S.failed, S.stopped, S.interrupted), 0
  for i = 2, #known do jobs = jobs + math.max(0, tonumber(known[i]) or 0) end
  return known[1] == '1' and jobs == 0
end

-- Move a number of jobs from one counter of a group to another; nil is none, for jobs that join or leave
-- it. The group is kept as long as one of its jobs is live, and then as long as the last of its records.
local function count_in_group(group, was, now, jobs, times)
  local key = K.group .. group
  if was ~= now then
    if was then write('HINCRBY', key, was, -jobs) end
    if now then write('HINCRBY', key, now, jobs) end
    if not now and is_empty_group(key) then return redis.call('DEL', key) end
  end
  local known = read('HMGET', key, 'updated', 'started', 'ended', 'until', 'live') or {}
  local set = {}
  if times.updated > (tonumber(known[1]) or 0) then set[1], set[2] = 'updated', integer(times.updated) end
  if times.started and times.started < (tonumber(known[2]) or 1e15) then
    set[#set + 1], set[#set + 2] = 'started', integer(times.started)
  end
  if times.ended and times.ended > (tonumber(known[3]) or 0) then
    set[#set + 1], set[#set + 2] = 'ended', integer(times.ended)
  end
  local stays = tonumber(known[4]) or 0
  if times.expires and times.expires > stays then
    stays = times.expires
    set[#set + 1], set[#set + 2] = 'until', integer(stays)
  end
  if #set > 0 then write('HSET', key, unpack(set)) end
  if (tonumber(known[5]) or 0) > 0 then
    if now == 'live' and was ~= now then redis.call('PERSIST', key) end
  elseif was ~= now or times.expires then
    local now_is = now_ms()
    if stays == 0 then stays = now_is + tonumber(K.default_expires_ms) end
    redis.call('PEXPIRE', key, integer(math.max(1, stays - now_is)))
  end
end

-- The times in a record that affect its group.
local function times_of(record)
  local enqueued = number(record[F.enqueued_ms])
  local ended, started = record[F.ended], record[F.started]
  local times = {updated = last_time(record), started = started and enqueued + number(started)}
  if ended then
    times.ended = enqueued + number(ended)
    times.expires = times.ended + number(record[F.expires_after_ms])
  end
  return times
end
