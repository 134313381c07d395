-- Write a batch of stored records, except those that must not replace the stored one (see `is_newer`).
-- ARGV: channel, rows; then, for each expiry in ms of jobs that completed before anything about them was
-- written: the expiry, rows. Each part of a row is followed by byte 255.
-- A row: id; kind: "first" row of a try, "first MS" (the same, with the due time of the try if the record
-- has that of the next one), "later", or the version of the record on which an inferred end is based;
-- record (JSON); "" or what else to write (a JSON object; fields: [name, value as JSON, ...]; try: the
-- record of the try that ends here, with its traceback; log: [id of the try, line, ...]).
-- A row of a completed job: id, end in ms, record.
-- Returns: {time in ms, {id of a job that was asked to stop, ...}, number of rows not written yet}.

local function is_first(kind)
  return string.sub(kind, 1, 5) == 'first'
end

-- True if a record is of a newer run of the same id.
local function is_newer_run(id, old, new)
  if payload_is_of(id, new[F.enqueued_ms]) then return true end
  local old_run = number(old[F.enqueued_ms])
  if payload_is_of(id, old_run) then return false end
  if old_run == 0 and not has_ended(old) then return true end
  local before, began = last_time(old), new[F.started]
  -- the job was cancelled when a worker already had it: the worker finds no payload, hence no run
  if new[F.enqueued_ms] == 0 and has_ended(old) and not began then
    return old[F.state] ~= S.stopped and last_time(new) - before >= 5000
  end
  return new[F.enqueued_ms] + (began or new[F.ended] or new[F.updated]) >= before
end

local function is_of_other_worker(old, new)
  local before, now = text(old[F.worker], ''), text(new[F.worker], '')
  -- the record of an ended job has the name without its random part
  return before ~= '' and now ~= '' and before ~= now and string.sub(before, 1, #now + 1) ~= now .. ':'
end

-- True if a row replaces the stored record. This is the precedence of writes: an inferred end counts if
-- nothing has been written since. Of two runs of an id the live one counts, else the one that started
-- after the end of the other. Within a run the higher try counts, and within a try the later version of
-- the same worker. An end is replaced by the worker's own end if it was inferred, and by late data of the
-- same end. Rows from before a `retry` do not count.
local function is_newer(id, old, new, kind)
  local seen = tonumber(kind)
  if not old then return not seen end
  local try, old_try, ended = new[F.job_try], number(old[F.job_try]), has_ended(old)
  local same_run = number(old[F.enqueued_ms]) == new[F.enqueued_ms]
  -- an inferred end
  if seen then return not ended and number(old[F.version]) <= seen and (try == old_try or not same_run) end
  if not same_run then return is_newer_run(id, old, new) end
  if old[F.state] == S.deleted then return false end
  local was_retried = number(old[F.generation]) > 1
  local same_due = number(new[F.due]) == number(old[F.due])
  if old[F.state] == S.waiting then
    -- a try from before the `retry` was due before it
    local due = tonumber(string.match(kind, '^first (.+)')) or number(new[F.due])
    return not was_retried or is_first(kind) and due >= number(old[F.due])
  end
  if try < old_try then return false end
  if try > old_try then
    if not was_retried then return true end
    -- arq counts from 1 again after `retry`, so this try may be from before it
    local began, begun = new[F.started] or new[F.ended], tonumber(read('GET', K.arq_retry .. id) or nil)
    local is_recorded = old[F.state] == new[F.state] or old[F.state] == S.interrupted
    if ended and not is_recorded and began and new[F.enqueued_ms] + began < last_time(old) then
      return false
    end
    -- the same end of a try that was due earlier does not count either
    if ended and old[F.state] == new[F.state] and number(new[F.due]) < number(old[F.due]) then return false end
    return not begun or begun >= try
  end
  if ended then
    -- if a worker was considered dead but is alive, its own end is the right one
    return has_ended(new) and (old[F.state] == new[F.state] or old[F.state] == S.interrupted)
      and (not was_retried or same_due)
  end
  if is_of_other_worker(old, new) then return false end
  return has_ended(new) or number(old[F.version]) < new[F.version]
end

-- spent: bytes that were copied, and their equivalent for other work that takes as long
local changed, groups, stopping, ended_sets, spent = {}, {}, {}, {}, 0
local stops = redis.call('EXISTS', K.stops) == 1

local function note_stop(id, record)
  local asked = read('HGET', K.stops, id)
  if asked and tonumber(string.match(asked, '^%d+')) == record[F.enqueued_ms] then
    if record[F.ended] then
      redis.call('HDEL', K.stops, id)
    else
      stopping[#stopping + 1] = id
    end
  end
end

-- Take over from the old record what rows do not know: a `retry` of their run, its group, and tags added
-- from outside.
local function carry_over(raw, new, old)
  local generation, run = number(old[F.generation]), number(old[F.enqueued_ms])
  if run ~= 0 and run ~= new[F.enqueued_ms] or old[F.state] == S.deleted then return raw end
  if generation > 1 and run ~= 0 and not new[F.generation] then
    raw = string.sub(raw, 1, -2) .. ',"' .. F.generation .. '":' .. integer(generation) .. '}'
  end
  if has_labels(old) then raw = with_labels(new, raw, all_tags(old, new), new[F.group] or text(old[F.group])) end
  return raw
end

-- Append to a job's log. A stored line: its number, the bytes of the log up to its end, the id of its try,
-- its number in the try, JSON.
local function append_log(id, log)
  local key, try = K.logs .. id, log[1]
  local last = read('LINDEX', key, -1)
  local number_before, bytes, of, seen = string.match(last or '', '^(%d+) (%d+) (%S+) (%d+) ')
  number_before, bytes = tonumber(number_before) or 0, tonumber(bytes) or 0
  seen = of == try and tonumber(seen) or 0
  local lines = {}
  for i = 2, #log do
    local line = log[i]
    local place = tonumber(string.match(line, '^%d+'))
    -- skip lines that were written before and sent again
    if place > seen then
      number_before, bytes, seen = number_before + place - seen, bytes + #line, place
      lines[#lines + 1] = integer(number_before) .. ' ' .. integer(bytes) .. ' ' .. try .. ' ' .. line
    end
  end
  if #lines == 0 then return end
  write('RPUSH', key, unpack(lines))
  redis.call('LTRIM', key, -tonumber(K.log_lines), -1)
  while true do
    local first = tonumber(string.match(redis.call('LINDEX', key, 0), '^%d+ (%d+)'))
    if bytes - first < tonumber(K.log_bytes) then break end
    redis.call('LPOP', key)
  end
end

local function write_row(id, kind, raw, more)
  local new, old_raw = record_of(raw), read('GET', K.record .. id)
  local old = record_of(old_raw)
  local counts = is_newer(id, old, new, kind)
  -- a running job must get the request in any case
  if stops and (counts or not new[F.ended]) then note_stop(id, new) end
  if not counts then return end
  local run, old_run = new[F.enqueued_ms], old and number(old[F.enqueued_ms])
  if old then raw = carry_over(raw, new, old) end
  if old and old_run ~= 0 and old_run ~= run then
    drop_belongings(id)
  elseif old and new[F.job_try] ~= old[F.job_try] then
    keep_try(id, old, old_raw)
  end
  if more ~= '' then
    more = cjson.decode(more)
    local fields = more.fields or {}
    for i = 1, #fields, 2 do write('HSET', K.data .. id, fields[i], fields[i + 1]) end
    if more.try then push_try(id, try_entry(old_run == run and old or new, more.try)) end
    if more.log then append_log(id, more.log) end
  end
  local ended_set = put(id, raw, new, old)
  if not ended_set then
    if is_first(kind) then spent = spent + keep_payload(id, new) end
    if old and has_ended(old) then persist_belongings(id) end
  else
    ended_sets[ended_set] = true
    if tonumber(kind) then note_uncounted(new) end
    -- arq still has the job, or a new one with the same id
    if new[F.state] ~= S.complete and redis.call('EXISTS', K.arq_in_progress .. id) == 1 then
      spent = spent + keep_payload(id, new)
    end
    if old or more ~= '' or new[F.state] ~= S.complete then expire_belongings(id, new) end
  end
  changed[#changed + 1] = id
  if old and has_labels(old) then groups[text(old[F.group], '')] = true end
  if has_labels(new) then
    groups[text(new[F.group], '')] = true
    spent = spent + #labels_of(new) * 16384
  end
  if more ~= '' then spent = spent + 16384 end
end

local remaining = 0
for id, kind, raw, more in string.gmatch(ARGV[2], '([^\255]*)\255([^\255]*)\255([^\255]*)\255([^\255]*)\255') do
  -- this has blocked Redis for long enough: the rest must be sent again
  if spent > 2097152 then
    remaining = remaining + 1
  else
    write_row(id, kind, raw, more)
  end
end

local taken_out, labelled, counted = {}, {}, {}

local function add_to(lists, key, ...)
  local list = lists[key] or {}
  lists[key] = list
  for i = 1, select('#', ...) do list[#list + 1] = select(i, ...) end
end

-- Replace the record of a completed job that waited before and has only tags or a group. The consequences
-- are applied to all such jobs together.
local function complete_waiting(id, raw, ended, expires, left)
  local old = stored_record(id)
  local run = tonumber(string.match(raw, '^{"' .. F.enqueued_ms .. '":(%d+),'))
  if not old or old[F.state] ~= S.waiting or number(old[F.generation]) > 1 or old[F.enqueued_ms] ~= run then return false end
  if redis.call('EXISTS', K.data .. id, K.outside .. id, K.payload .. id, K.tries .. id, K.logs .. id) > 0 then return false end
  local new, index = {[F.enqueued_ms] = run}, index_of(old)
  redis.call('SET', K.record .. id, carry_over(raw, new, old), 'PX', integer(left))
  add_to(taken_out, index, id)
  for _, label in ipairs(labels_of(new)) do
    add_to(taken_out, index .. label, id)
    add_to(labelled, S.complete .. ':' .. integer(expires) .. label, ended, id)
  end
  local group = text(new[F.group])
  if not group then return true end
  groups[group] = true
  local times, started = counted[group] or {jobs = 0, updated = 0, started = 1e15, ended = 0, expires = 0}, nil
  counted[group] = times
  started = tonumber(string.match(raw, ',"' .. F.started .. '":(%-?%d+)'))
  times.jobs, times.updated = times.jobs + 1, math.max(times.updated, tonumber(ended))
  times.ended, times.expires = times.updated, math.max(times.expires, ended + expires)
  if started then times.started = math.min(times.started, run + started) end
  return true
end

local function finish_completed()
  for index, ids in pairs(taken_out) do read('ZREM', index, unpack(ids)) end
  for name, entries in pairs(labelled) do
    local oldest, expires = tonumber(entries[1]), tonumber(string.match(name, ':(%d+)'))
    for i = 3, #entries, 2 do oldest = math.min(oldest, tonumber(entries[i])) end
    add_ended(K.ended .. name, expires, oldest, unpack(entries))
  end
  for group, times in pairs(counted) do count_in_group(group, 'live', S.complete, times.jobs, times) end
end

-- The most common rows: first try `SET NX` without reading the stored record, and handle a row in full only
-- if there is one.
local now, call, find, sub = now_ms(), redis.call, string.find, string.sub
for i = 3, #ARGV, 2 do
  local expires, rows, entries, from = tonumber(ARGV[i]), ARGV[i + 1], {}, 1
  while from <= #rows do
    -- faster than a pattern, which examines every byte
    local id_end = find(rows, '\255', from, true)
    local ended_end = find(rows, '\255', id_end + 1, true)
    local raw_end = find(rows, '\255', ended_end + 1, true)
    local id, ended = sub(rows, from, id_end - 1), sub(rows, id_end + 1, ended_end - 1)
    local raw, left = sub(rows, ended_end + 1, raw_end - 1), ended + expires - now
    from = raw_end + 1
    left = left > expires and expires or left < 1 and 1 or left
    if not stops and call('SET', K.record .. id, raw, 'PX', left, 'NX') then
      entries[#entries + 1], entries[#entries + 2] = ended, id
      changed[#changed + 1] = id
    elseif not stops and complete_waiting(id, raw, ended, expires, left) then
      entries[#entries + 1], entries[#entries + 2] = ended, id
      changed[#changed + 1] = id
    else
      write_row(id, 'first', raw, '')
    end
  end
  if #entries > 0 then
    local ended_set = S.complete .. ':' .. ARGV[i]
    write('ZADD', K.ended .. ended_set, unpack(entries))
    ended_sets[ended_set] = true
  end
end

finish_completed()
for name in pairs(ended_sets) do write('SADD', K.ended_sets, name) end
groups[''] = nil
for group in pairs(groups) do changed[#changed + 1] = K.group_subject .. group end
publish(ARGV[1], changed)
return {now, stopping, remaining}
