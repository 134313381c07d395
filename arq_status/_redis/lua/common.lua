-- What the scripts share: each gets the functions that it uses. `K.name` stands for a key or a limit,
-- `F.name` for the letter of a stored record's field, `S.name` for a state.

-- Decode a stored record, with the defaults of what its text leaves out (see `StoredRecord.encode`).
local function record_of(raw)
  if type(raw) ~= 'string' then return nil end
  local ok, record = pcall(cjson.decode, raw)
  -- halves of surrogates are damage, but no reason to lose the rest
  if not ok then ok, record = pcall(cjson.decode, (string.gsub(raw, '\\u[dD]%x%x%x', '?'))) end
  if not ok or type(record) ~= 'table' then return nil end
  if record[F.state] == nil and record[F.ended] then record[F.state] = S.complete end
  if record[F.job_try] == nil then record[F.job_try] = 1 end
  if record[F.expires] == nil then record[F.expires] = tonumber(K.default_expires_ms) end
  return record
end

local function number(value)
  -- what is beyond is damage: infinities, NaN
  return type(value) == 'number' and math.abs(value) < 1e15 and value or 0
end

local function integer(value)
  return string.format('%.0f', value)
end

local function text(value, default)
  return type(value) == 'string' and value or default
end

-- Like `redis.call`, but an error, as of a key of the wrong type, reads as nil.
local function read(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then return false end
  return reply
end

-- Like `redis.call`, but replaces a key of the wrong type.
local function write(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'WRONGTYPE', 1, true) then error(reply.err, 0) end
    redis.call('DEL', key)
    return redis.call(command, key, ...)
  end
  return reply
end

local function has_ended(record)
  return type(record[F.ended]) == 'number'
end

-- When a record's job ended, or else last changed.
local function last_time(record)
  return number(record[F.enqueued_ms]) + number(record[F.ended] or record[F.updated])
end

local function queue_of(record)
  return text(record[F.queue], K.arq_queue)
end

-- The index that holds a record's job.
local function index_of(record)
  local state = record[F.state]
  if state == S.deleted then return nil end
  if has_ended(record) then return K.ended .. tostring(state) .. ':' .. integer(number(record[F.expires])) end
  if state == S.working then return K.running .. text(record[F.worker], '') end
  if state == S.retrying then return K.retrying .. queue_of(record) end
  if state == S.interrupted then return K.interrupted .. queue_of(record) end
  if state == S.waiting then return K.waiting .. queue_of(record) end
end

-- The index of its queue's jobs that are neither queued nor deferred, if it is one of them.
local function recorded_index_of(record)
  local state = record[F.state]
  if has_ended(record) or state ~= S.working and state ~= S.retrying and state ~= S.interrupted then return nil end
  return K.recorded .. queue_of(record)
end

local function stored_record(id)
  return record_of(read('GET', K.record .. id))
end

local function now_ms()
  local time = redis.call('TIME')
  -- rounded as arq rounds the times at which jobs are due
  return time[1] * 1000 + math.floor(time[2] / 1000 + 0.5)
end

-- The last workers that died without deregistering: {name, last heartbeat, description, ...}.
local function dead_workers(silent_since)
  local found = {}
  local dead = read('ZREVRANGEBYSCORE', K.workers, silent_since, '-inf', 'WITHSCORES', 'LIMIT', 0, 100) or {}
  for i = 1, #dead, 2 do
    local description = read('GET', K.worker .. dead[i])
    if description then
      for _, part in ipairs({dead[i], dead[i + 1], description}) do found[#found + 1] = part end
    end
  end
  return found
end

-- The last heartbeat of the worker that a record names, if it sends heartbeats or is known to be dead. The
-- record of an ended job names it without the random part: it is one that was there when the job ended.
local function last_beat_of(record, alive_since)
  local name = record[F.worker]
  if type(name) ~= 'string' then return false end
  if not has_ended(record) then return read('ZSCORE', K.workers, name) end
  local alive = read('ZRANGEBYSCORE', K.workers, integer(alive_since), '+inf', 'WITHSCORES', 'LIMIT', 0, 2000) or {}
  for i = 1, #alive, 2 do
    if string.sub(alive[i], 1, #name + 1) == name .. ':' then
      local ok, about = pcall(cjson.decode, read('GET', K.about .. alive[i]) or '')
      local started = ok and type(about) == 'table' and number(about.started) or 0
      if started <= number(record[F.enqueued_ms]) + record[F.ended] then return alive[i + 1] end
    end
  end
  return false
end

-- The queues that tracked workers announced, and arq's own.
local function announced_queues()
  local queues, seen = {K.arq_queue}, {[K.arq_queue] = true}
  for _, queue in ipairs(read('ZRANGE', K.queues, 0, -1) or {}) do
    if not seen[queue] then
      seen[queue] = true
      queues[#queues + 1] = queue
    end
  end
  return queues
end

-- The queues that the arguments name from one on; without any, those that were announced.
local function queues_from(first)
  if not ARGV[first] then return announced_queues() end
  local queues = {}
  for i = first, #ARGV do queues[#queues + 1] = ARGV[i] end
  return queues
end

-- The queue that holds the job and its score there, or false.
local function queued(id, queues)
  for _, queue in ipairs(queues) do
    local score = read('ZSCORE', queue, id)
    if score then return queue, score end
  end
  return false, false
end

local function is_live(id, queues)
  return redis.call('EXISTS', K.arq_job .. id) == 1 or queued(id, queues) ~= false
end

-- What subscribers are told of a change of a record: its job's id, and its group if it has one.
local function subjects_of(id, record)
  local group = record and text(record[F.group])
  return group and {id, K.group_subject .. group} or {id}
end

-- Tell subscribers which jobs changed. A user without the permission loses only that.
local function publish(channel, ids)
  if #ids > 0 then redis.pcall('PUBLISH', channel, cjson.encode(ids)) end
end

-- The enqueue time (ms) as the default pickle of a job or a result spells it. Written by arithmetic,
-- for `struct` is not everywhere (fakeredis has none).
local function enqueue_time_bytes(ms)
  local floor = math.floor
  return '\140\2et\148\138\6' .. string.char(ms % 256, floor(ms / 256) % 256, floor(ms / 65536) % 256,
    floor(ms / 16777216) % 256, floor(ms / 4294967296) % 256, floor(ms / 1099511627776) % 256)
end

-- The enqueue time (ms) that a part of such a pickle spells, if it does.
local function enqueue_time_in(part)
  local at = string.find(part or '', '\140\2et\148\138\6', 1, true)
  if not at or #part < at + 12 then return nil end
  local ms = 0
  for i = at + 12, at + 7, -1 do ms = ms * 256 + string.byte(part, i) end
  return ms
end

-- Tell whether arq's payload is of the run that was enqueued then; nil where there is none or, as with a
-- serializer of the user's own, it does not tell.
local function payload_is_of(id, enqueued)
  local tail, wanted = read('GETRANGE', K.arq_job .. id, -32, -1) or '', enqueue_time_bytes(enqueued)
  if string.find(tail, wanted, 1, true) then return true end
  if string.find(tail, string.sub(wanted, 1, -7), 1, true) then return false end
end

-- Keep arq's payload of a run that may not complete, for `retry`, unless its arguments are hidden.
-- Answers how many bytes that took.
local function keep_payload(id, record)
  local enqueued = record[F.enqueued_ms]
  if record[F.hides_args] then return 0 end
  local size = read('STRLEN', K.arq_job .. id)
  if not size or size == 0 or size > tonumber(K.largest_payload) then return 0 end
  -- by now another run may have the id
  if payload_is_of(id, enqueued) == false then return 0 end
  redis.call('COPY', K.arq_job .. id, K.payload .. id)
  redis.call('PERSIST', K.payload .. id)
  return size
end

local function has_labels(record)
  return record[F.tags] ~= nil or record[F.group] ~= nil
end

-- What stands behind the keys of the indexes that hold a record's job by its tags and its group.
local function labels_of(record)
  local labels, tags = {}, record[F.tags]
  for _, tag in ipairs(type(tags) == 'table' and tags or {}) do
    if type(tag) == 'string' then labels[#labels + 1] = K.tagged .. tag end
  end
  if type(record[F.group]) == 'string' then labels[#labels + 1] = K.grouped .. record[F.group] end
  return labels
end

-- A list of texts as JSON has it.
local function json_list(texts)
  -- as Python writes it: slashes need not be escaped
  return (string.gsub(cjson.encode(texts), '\\/', '/'))
end

-- The tags of two records of a run, each once.
local function all_tags(first, second)
  local tags, seen = {}, {}
  for _, record in ipairs({first, second}) do
    for _, tag in ipairs(type(record[F.tags]) == 'table' and record[F.tags] or {}) do
      if type(tag) == 'string' and not seen[tag] then
        seen[tag] = true
        tags[#tags + 1] = tag
      end
    end
  end
  return tags
end

-- How a record's text tells its tags and its group, at its end.
local function labels_text(record)
  local tags, group, written = record[F.tags], text(record[F.group]), ''
  if type(tags) == 'table' and #tags > 0 then written = ',"' .. F.tags .. '":' .. json_list(tags) end
  if not group then return written end
  return written .. ',"' .. F.group .. '":' .. string.sub(json_list({group}), 2, -2)
end

-- Give a record these tags and this group; answers its text with them.
local function with_labels(record, raw, tags, group)
  local before = labels_text(record) .. '}'
  for i = tonumber(K.most_tags) + 1, #tags do tags[i] = nil end
  record[F.tags], record[F.group] = #tags > 0 and tags or nil, group
  local rest = string.sub(raw, 1, -2)
  if string.sub(raw, -#before) == before then rest = string.sub(raw, 1, -#before - 1) end
  -- where the text had some that are spelled otherwise the last ones count
  return rest .. labels_text(record) .. '}'
end

-- Add ended jobs, the oldest of which ended then, to an index of those with one label. It expires as
-- soon as all in there have.
local function add_ended(index, expires, oldest, ...)
  write('ZADD', index, ...)
  redis.call('PEXPIRE', index, integer(expires))
  write('ZADD', K.labelled, 'LT', integer(oldest + expires), index)
end

-- As what a record's job counts in its group.
local function place_of_record(record)
  return has_ended(record) and tostring(record[F.state]) or 'live'
end

-- The same for a job that is lost, as its id is used for another run by now.
local function place_of_lost(record)
  if has_ended(record) then return record[F.state] end
  return (record[F.state] == S.waiting or record[F.state] == S.retrying) and S.failed or S.interrupted
end

-- Whether all jobs of a closed group were deleted.
local function is_empty_group(key)
  local known, jobs = redis.call('HMGET', key, 'closed', 'live', S.complete, S.failed, S.stopped, S.interrupted), 0
  for i = 2, #known do jobs = jobs + math.max(0, tonumber(known[i]) or 0) end
  return known[1] == '1' and jobs == 0
end

-- Count so many jobs of a group at another place than before: "live", or the state in which they
-- ended; no place is out of the group. The group lives as long as one of its jobs and then as long
-- as the record that stays longest.
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

-- What a record tells of its job that its group shows.
local function times_of(record)
  local enqueued = number(record[F.enqueued_ms])
  local ended, started = record[F.ended], record[F.started]
  local times = {updated = last_time(record), started = started and enqueued + number(started)}
  if ended then
    times.ended = enqueued + number(ended)
    times.expires = times.ended + number(record[F.expires])
  end
  return times
end

-- Have the indexes by tag and group, and the group's counters, follow a record.
local function relabel(id, new, old)
  local index, before, kept = index_of(new), old and index_of(old), {}
  for _, label in ipairs(index and labels_of(new) or {}) do
    kept[label] = true
    if has_ended(new) then
      add_ended(index .. label, new[F.expires], last_time(new), integer(last_time(new)), id)
    else
      local due = new[F.state] == S.waiting and read('ZSCORE', queue_of(new), id)
      write('ZADD', index .. label, due or integer(last_time(new)), id)
    end
  end
  for _, label in ipairs(before and labels_of(old) or {}) do
    if before ~= index or not kept[label] then read('ZREM', before .. label, id) end
  end
  local group, group_before = index and text(new[F.group]), before and text(old[F.group])
  if group_before and group_before ~= group then
    count_in_group(group_before, place_of_record(old), place_of_lost(old), 1, {
      updated = now_ms(), expires = now_ms() + number(old[F.expires])
    })
  end
  if group then
    local place_before = group_before == group and place_of_record(old) or nil
    if not place_before then write('HSET', K.group .. group, 'queue:' .. queue_of(new), '') end
    count_in_group(group, place_before, place_of_record(new), 1, times_of(new))
  end
end

-- Take a record's job out of all indexes, and count it in its group at another place, or nowhere.
local function take_out(id, record, place)
  local index, recorded = index_of(record), recorded_index_of(record)
  if not index then return end
  read('ZREM', index, id)
  if recorded then read('ZREM', recorded, id) end
  if not has_labels(record) then return end
  for _, label in ipairs(labels_of(record)) do read('ZREM', index .. label, id) end
  local group = text(record[F.group])
  if group then count_in_group(group, place_of_record(record), place, 1, {updated = now_ms()}) end
end

-- Replace a stored record, and have the indexes follow: nothing else changes either. Of an ended job
-- it answers the name of its set, which has to be added to `ended_sets`.
local function put(id, raw, new, old)
  if has_labels(new) or old and has_labels(old) then relabel(id, new, old) end
  local index, before = index_of(new), old and index_of(old)
  if before and before ~= index then read('ZREM', before, id) end
  local recorded, recorded_before = recorded_index_of(new), old and recorded_index_of(old)
  if recorded_before and recorded_before ~= recorded then read('ZREM', recorded_before, id) end
  if has_ended(new) then
    local ended, expires = new[F.enqueued_ms] + new[F.ended], new[F.expires]
    write('ZADD', index, integer(ended), id)
    -- the clock started when the job ended, however late that is written
    local left = math.max(1, math.min(expires, ended + expires - now_ms()))
    redis.call('SET', K.record .. id, raw, 'PX', integer(left))
    return string.sub(index, #K.ended + 1)
  end
  write('ZADD', index, integer(last_time(new)), id)
  if recorded then
    local due, due_before = number(new[F.due]), old and number(old[F.due])
    if recorded ~= recorded_before or due ~= due_before then
      write('ZADD', recorded, integer(new[F.enqueued_ms] + due), id)
    end
  end
  -- whoever looks for a worker's jobs must find it, also if it has not sent a heartbeat yet
  if new[F.state] == S.working and before ~= index then
    write('ZADD', K.workers, 'NX', now_ms(), text(new[F.worker], ''))
  end
  redis.call('SET', K.record .. id, raw)
end

-- A try in the list of tries: its generation, and its record (JSON text), with the traceback if any.
local function try_entry(record, raw)
  return integer(math.max(1, number(record[F.generation]))) .. ' ' .. raw
end

-- Keep a try, unless it is the last one of those that are kept: the first and the last ones.
local function push_try(id, entry)
  if read('LINDEX', K.tries .. id, -1) == entry then return end
  if write('RPUSH', K.tries .. id, entry) > tonumber(K.last_tries) + 1 then
    redis.call('LSET', K.tries .. id, 1, '')
    redis.call('LREM', K.tries .. id, 1, '')
  end
end

-- Keep the try that a stored record tells of before another takes its place.
local function keep_try(id, record, raw)
  local try = record[F.job_try]
  if record[F.state] == S.waiting or record[F.state] == S.deleted or number(try) < 1 then return end
  local generation, last = math.max(1, number(record[F.generation])), read('LINDEX', K.tries .. id, -1)
  local of, kept = string.match(last or '', '^(%d+) (.*)$')
  kept = kept and record_of(kept)
  -- its worker has kept it with its traceback
  if kept and tonumber(of) == generation and kept[F.job_try] == try then return end
  push_try(id, try_entry(record, raw))
end

-- Have the end of a job counted that no worker counts (see `count.lua`).
local function note_uncounted(record)
  local name = queue_of(record) .. '\0' .. text(record[F.function], '')
  if read('HEXISTS', K.functions, name) ~= 1 then name = queue_of(record) .. '\0' .. K.other end
  write('HINCRBY', K.uncounted, record[F.state] .. ' ' .. name, 1)
end

-- What an earlier run of the id left behind goes.
local function drop_belongings(id)
  redis.call('DEL', K.data .. id, K.outside .. id, K.payload .. id, K.tries .. id, K.logs .. id)
end

local function persist_belongings(id)
  for _, prefix in ipairs({K.data, K.outside, K.tries, K.logs}) do redis.call('PERSIST', prefix .. id) end
end

-- Have what belongs to the record of an ended job expire with it.
local function expire_belongings(id, record)
  local left = redis.call('PTTL', K.record .. id)
  for _, prefix in ipairs({K.data, K.outside, K.tries, K.logs}) do redis.call('PEXPIRE', prefix .. id, left) end
  if record[F.state] == S.complete then
    redis.call('DEL', K.payload .. id)
  else
    redis.call('PEXPIRE', K.payload .. id, left)
  end
end

-- Tell whether a key is the one that was to expire then, and has not been set since.
local function same_expiry(left, expires)
  if left < 0 or expires < 0 then return left == expires end
  return math.abs(now_ms() + left - expires) < 50
end
