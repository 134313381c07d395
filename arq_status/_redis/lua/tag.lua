-- Add tags and a group to a job.
-- ARGV: channel, id, the record of a waiting job (JSON) with the tags and the group, "enqueueing" in the
-- transaction that enqueues it, "enqueued" just after that, so that only arq knows when, else "known", its
-- queue, its group or "", the suffixes of the indexes of its tags and its group (each after a byte 255),
-- queues...
-- Returns: 1; 0 if there is neither a live job nor a record; -1 if it would have too many tags.
local id, raw, queue, group = ARGV[2], ARGV[3], ARGV[5], ARGV[6]

-- Fast path: a job that was just enqueued and has no record yet. This is the usual case, and defining a
-- function would take longer than recording the job.
if ARGV[4] ~= 'known' then
  local tail = redis.pcall('GETRANGE', K.arq_job .. id, -32, -1)
  local at = type(tail) == 'string' and string.find(tail, '\140\2et\148\138\6', 1, true)
  local due = at and #tail >= at + 12 and redis.pcall('ZSCORE', queue, id)
  if type(due) == 'string' then
    local run, time = 0, redis.call('TIME')
    for i = at + 12, at + 7, -1 do run = run * 256 + string.byte(tail, i) end
    local now = time[1] * 1000 + math.floor(time[2] / 1000 + 0.5)
    raw = string.gsub(raw, '^{"' .. F.enqueued_ms .. '":0', string.format('{"' .. F.enqueued_ms .. '":%.0f', run))
    raw = string.gsub(raw, ',"' .. F.updated .. '":0', string.format(',"' .. F.updated .. '":%.0f', now - run), 1)
    if redis.call('SET', K.record .. id, raw, 'NX') then
      local changed = {id}
      redis.call('ZADD', K.waiting .. queue, string.format('%.0f', now), id)
      for label in string.gmatch(ARGV[7], '\255([^\255]*)') do
        redis.call('ZADD', K.waiting .. queue .. label, due, id)
      end
      if group ~= '' then
        redis.call('HINCRBY', K.group .. group, 'live', 1)
        redis.call('HSET', K.group .. group, 'updated', string.format('%.0f', now), 'queue:' .. queue, '')
        redis.call('PERSIST', K.group .. group)
        changed[2] = K.group_subject .. group
      end
      redis.pcall('PUBLISH', ARGV[1], cjson.encode(changed))
      return 1
    end
    raw = ARGV[3]
  end
end

-- a command of arq's has failed: there is no job
if ARGV[4] == 'enqueueing' and type(redis.pcall('ZSCORE', queue, id)) ~= 'string' then return 0 end

-- @shared

local waiting, was_enqueued = record_of(raw), ARGV[4] ~= 'known'
local old_raw = read('GET', K.record .. id)
local old, run = record_of(old_raw), waiting[F.enqueued_ms]

if was_enqueued then
  run = enqueue_time_in(read('GETRANGE', K.arq_job .. id, -32, -1))
    or enqueue_time_in(read('GETRANGE', K.arq_result .. id, 0, 255)) or 0
  local updated = now_ms() - run
  waiting[F.enqueued_ms], waiting[F.updated] = run, updated
  raw = string.gsub(raw, '^{"' .. F.enqueued_ms .. '":0', '{"' .. F.enqueued_ms .. '":' .. integer(run))
  raw = string.gsub(raw, ',"' .. F.updated .. '":0', ',"' .. F.updated .. '":' .. integer(updated), 1)
end

local known = old and record_is_of_run(id, old, run)

local new, ended_set = waiting, nil
if known then
  local tags = all_tags(old, waiting)
  if not was_enqueued and #tags > tonumber(K.most_tags) then return -1 end
  new = record_of(old_raw)
  raw = with_labels(new, old_raw, tags, text(old[F.group]) or waiting[F.group])
  if raw == old_raw then return 1 end
  ended_set = put(id, raw, new, old)
else
  local has_result = was_enqueued and redis.call('EXISTS', K.arq_result .. id) == 1
  -- a job of a group may have ended already without leaving anything, but still counts
  local is_counted = was_enqueued and group ~= ''
  if not has_result and not is_counted and not is_live(id, queues_from(8)) then return 0 end
  drop_belongings(id)
  put(id, raw, waiting, old)
end
if ended_set then write('SADD', K.ended_sets, ended_set) end
publish(ARGV[1], subjects_of(id, new))
return 1
