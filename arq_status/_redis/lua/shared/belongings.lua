-- What belongs to a record: tries, data, log and kept payload.

-- An entry in the list of tries: the generation and the record (JSON), with the traceback if any.
local function try_entry(record, raw)
  return integer(math.max(1, number(record[F.generation]))) .. ' ' .. raw
end

-- Add a try to the list unless it is the last entry; only the first and the last tries are kept.
local function push_try(id, entry)
  if read('LINDEX', K.tries .. id, -1) == entry then return end
  if write('RPUSH', K.tries .. id, entry) > tonumber(K.last_tries) + 1 then
    redis.call('LSET', K.tries .. id, 1, '')
    redis.call('LREM', K.tries .. id, 1, '')
  end
end

-- Keep the try of a stored record before another one replaces it.
local function keep_try(id, record, raw)
  local try = record[F.job_try]
  if record[F.state] == S.waiting or record[F.state] == S.deleted or number(try) < 1 then return end
  local generation, last = math.max(1, number(record[F.generation])), read('LINDEX', K.tries .. id, -1)
  local of, kept = string.match(last or '', '^(%d+) (.*)$')
  kept = kept and record_of(kept)
  -- its worker has already stored it with its traceback
  if kept and tonumber(of) == generation and kept[F.job_try] == try then return end
  push_try(id, try_entry(record, raw))
end

-- Note the end of a job that no worker counts, so that it is counted (see `count.lua`).
local function note_uncounted(record)
  local name = queue_of(record) .. '\0' .. text(record[F.function], '')
  if read('HEXISTS', K.functions, name) ~= 1 then name = queue_of(record) .. '\0' .. K.other end
  write('HINCRBY', K.uncounted, record[F.state] .. ' ' .. name, 1)
end

-- Delete what an earlier run of the id left behind.
local function drop_belongings(id)
  redis.call('DEL', K.data .. id, K.outside .. id, K.payload .. id, K.tries .. id, K.logs .. id)
end

local function persist_belongings(id)
  for _, prefix in ipairs({K.data, K.outside, K.tries, K.logs}) do redis.call('PERSIST', prefix .. id) end
end

-- Make what belongs to the record of an ended job expire with it.
local function expire_belongings(id, record)
  local left = redis.call('PTTL', K.record .. id)
  for _, prefix in ipairs({K.data, K.outside, K.tries, K.logs}) do redis.call('PEXPIRE', prefix .. id, left) end
  if record[F.state] == S.complete then
    redis.call('DEL', K.payload .. id)
  else
    redis.call('PEXPIRE', K.payload .. id, left)
  end
end
