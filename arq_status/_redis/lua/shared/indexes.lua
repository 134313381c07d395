-- Changes of records and the corresponding changes of the indexes.

-- Add ended jobs to the index of a label; `oldest` is the end of the first one. The index expires a minute
-- after its last job, in case nobody sweeps: deleting a large key blocks Redis, so sweeps should come first.
local function add_ended(index, expires, oldest, ...)
  write('ZADD', index, ...)
  redis.call('PEXPIRE', index, integer(expires + 60000))
  write('ZADD', K.labelled, 'LT', integer(oldest + expires), index)
end

-- Update the indexes by tag and group, and the group's counters, for a new record.
local function relabel(id, new, old)
  local index, before, kept = index_of(new), old and index_of(old), {}
  for _, label in ipairs(index and labels_of(new) or {}) do
    kept[label] = true
    if has_ended(new) then
      add_ended(index .. label, new[F.expires_after_ms], last_time(new), integer(last_time(new)), id)
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
      updated = now_ms(), expires = now_ms() + number(old[F.expires_after_ms])
    })
  end
  if group then
    local place_before = group_before == group and place_of_record(old) or nil
    if not place_before then write('HSET', K.group .. group, 'queue:' .. queue_of(new), '') end
    count_in_group(group, place_before, place_of_record(new), 1, times_of(new))
  end
end

-- Remove a record's job from all indexes, and move it to another counter of its group, or to none.
local function take_out(id, record, place)
  local index, started_index = index_of(record), started_index_of(record)
  if not index then return end
  read('ZREM', index, id)
  if started_index then read('ZREM', started_index, id) end
  if not has_labels(record) then return end
  for _, label in ipairs(labels_of(record)) do read('ZREM', index .. label, id) end
  local group = text(record[F.group])
  if group then count_in_group(group, place_of_record(record), place, 1, {updated = now_ms()}) end
end

-- Replace a stored record and update the indexes; nothing else changes either. For an ended job it returns
-- the name of its set, which must be added to `ended_sets`.
local function put(id, raw, new, old)
  if has_labels(new) or old and has_labels(old) then relabel(id, new, old) end
  local index, before = index_of(new), old and index_of(old)
  if before and before ~= index then read('ZREM', before, id) end
  local started_index, started_index_before = started_index_of(new), old and started_index_of(old)
  if started_index_before and started_index_before ~= started_index then read('ZREM', started_index_before, id) end
  if has_ended(new) then
    local ended, expires = new[F.enqueued_ms] + new[F.ended], new[F.expires_after_ms]
    write('ZADD', index, integer(ended), id)
    -- the lifetime starts when the job ended, no matter how late that is written
    local left = math.max(1, math.min(expires, ended + expires - now_ms()))
    redis.call('SET', K.record .. id, raw, 'PX', integer(left))
    return string.sub(index, #K.ended + 1)
  end
  write('ZADD', index, integer(last_time(new)), id)
  if started_index then
    local due, due_before = number(new[F.due]), old and number(old[F.due])
    if started_index ~= started_index_before or due ~= due_before then
      write('ZADD', started_index, integer(new[F.enqueued_ms] + due), id)
    end
  end
  -- the worker must be found through this set even before its first heartbeat
  if new[F.state] == S.working and before ~= index then
    write('ZADD', K.workers, 'NX', now_ms(), text(new[F.worker], ''))
  end
  redis.call('SET', K.record .. id, raw)
end
