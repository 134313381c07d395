-- Everything that determines the status of jobs, read at one moment.
-- ARGV: the version of the workers' announcements that the reader knows; options, separated by spaces,
-- then the queues, each after a byte 255; ids...
-- Options: "fields": return the stored fields; "returned": return arq's result of complete jobs;
-- "follow": use the announced queues instead of the given ones if they have changed; "short": read only
-- as much of a payload as a long list needs; "whole": read up to 1 MiB of it; "status": one job's status.
-- Returns: {"facts", time in ms, rows, dead workers, {version, queues, options} if the reader does not
-- know them, else false}; the last two only if there is an "open" row. There may be fewer rows than ids,
-- but at least one, so that no call takes long. A row:
--   {"unknown"}
--   {"ended", record, fields, result}  the record contains everything
--   {"waiting", payload, queue, score}  for its first try, and nothing is stored
--   {"open", record, fields, length, start and end of the payload, queue, score, TTL of the in-progress
--    key in ms, tries, worker that was lost with the job, length, start and end of the result, TTL of
--    the result in ms, last heartbeat of the record's worker, start of the result again for "returned"}
-- With "status" instead, if that is sufficient: {"ended", state}, {"waiting", score, time in ms} or
-- {"unknown"}.

-- Fast path: jobs that have ended, and jobs that wait for their first try. Lua would spend more time on
-- defining functions than on these jobs, so none is defined before the end of this path.
local words, place = ARGV[2], string.find(ARGV[2], '\255', 1, true)
local queues = {}
if place then
  local listed = string.sub(words, place + 1)
  words = string.sub(words, 1, place - 1)
  if string.find(listed, '\255', 1, true) then
    for queue in string.gmatch(listed, '[^\255]+') do queues[#queues + 1] = queue end
  else
    queues[1] = listed
  end
end
local for_status = string.find(words, 'status', 1, true)
local with_fields = not for_status and string.find(words, 'fields', 1, true)
local with_returned = not for_status and string.find(words, 'returned', 1, true)
local head = string.find(words, 'whole', 1, true) and 1048576 or string.find(words, 'short', 1, true) and 1024 or 65536
-- calls and bytes left until the script has blocked Redis for long enough
local calls, bytes = 6000, 524288

local rows, places, known, open, last = {}, {}, false, false, 3
for i = 3, #ARGV do
  local id, row, queue, score = ARGV[i], false, nil, nil
  local both = redis.call('MGET', K.record .. id, K.announced)
  local raw = both[1]
  known = (both[2] or '') == ARGV[1]
  if not known then last = #ARGV break end
  local job = redis.pcall('GETRANGE', K.arq_job .. id, 0, for_status and 0 or head - 1)
  for q = 1, #queues do
    score = redis.pcall('ZSCORE', queues[q], id)
    if score then queue = queues[q] break end
  end
  if job == '' and not queue then
    local result = redis.pcall('GETRANGE', K.arq_result .. id, 0, 255)
    if not raw then
      if result == '' then row = {'unknown'} end
    elseif string.find(raw, '"' .. F.ended .. '":', 1, true) then
      -- a result of the run whose end is recorded adds nothing
      local is_enough, run = result == '', string.match(raw, '^{"' .. F.enqueued_ms .. '":(%d+),')
      if not is_enough and run and #run < 15 and type(result) == 'string' then
        local floor = math.floor
        is_enough = string.find(result, '\140\2et\148\138\6' .. string.char(run % 256, floor(run / 256) % 256,
          floor(run / 65536) % 256, floor(run / 16777216) % 256, floor(run / 4294967296) % 256,
          floor(run / 1099511627776) % 256), 1, true)
      end
      if is_enough then
        if for_status then
          -- no string in the record can contain this, because quotes in strings are escaped
          row = {'ended', string.match(raw, '"' .. F.state .. '":"(%a+)"') or S.complete}
        else
          row = {'ended', raw, false, false}
          bytes = bytes - #raw
          if with_returned and result ~= '' and not string.find(raw, '"' .. F.state .. '":', 1, true) then
            if #result == 256 then result = redis.pcall('GETRANGE', K.arq_result .. id, 0, head - 1) end
            row[4], bytes = result, bytes - #result
          end
        end
        if with_fields then
          row[3] = redis.pcall('HGETALL', K.data .. id)
          if row[3].err then
            row = false
          else
            for f = 1, #row[3] do bytes = bytes - #row[3][f] end
          end
        end
      end
    end
  elseif not raw and type(score) == 'string' and type(job) == 'string' and (for_status or #job < head)
      and redis.call('EXISTS', K.arq_in_progress .. id) == 0 then
    row = {'waiting', job, queue, score}
    bytes = bytes - #job
  end
  if for_status and row then
    if queue then
      local time = redis.call('TIME')
      return {'waiting', score, time[1] * 1000 + math.floor(time[2] / 1000 + 0.5)}
    end
    return row
  end
  rows[i - 2], open, last = row, open or not row, i
  if not row and (not score or type(score) == 'string') then places[i] = {queue or false, score or false} end
  calls = calls - 8 - #queues
  if calls < 0 or bytes < 0 then break end
end
if known and not open then
  local time = redis.call('TIME')
  return {'facts', time[1] * 1000 + math.floor(time[2] / 1000 + 0.5), rows}
end

-- @shared

local now, news = now_ms(), false
if not known then
  news = {read('GET', K.announced) or '', announced_queues(), read('HGETALL', K.functions) or {}}
  if string.find(words, 'follow', 1, true) then queues = news[2] end
end

-- The length of a value, its start and, if that is not all of it, its end.
local function value_of(key, from)
  local length = read('STRLEN', key)
  -- false: the key has the wrong type
  if not length or length == 0 then return length or 1, '', '' end
  local first = read('GETRANGE', key, 0, from - 1)
  bytes = bytes - #first
  if length <= from then return length, first, '' end
  return length, first, read('GETRANGE', key, -512, -1)
end

-- The worker that was lost with a job; only called if an unrecorded try may be in progress.
local dead
local function lost_with(id)
  if not dead then dead = dead_workers(now - tonumber(K.dead_after_ms)) end
  for i = 1, #dead, 3 do
    calls = calls - 1
    if read('SISMEMBER', K.begun .. dead[i], id) == 1 then return dead[i] end
  end
  return false
end

local function payload_of(id, record)
  local key = K.arq_job .. id
  local record_has_rest = record and record[F.state] ~= S.waiting
  local job, first, tail = value_of(key, record_has_rest and math.min(head, 512) or head)
  local run = record and number(record[F.enqueued_ms]) or 0
  if record and job > 512 and run > 0 and not string.find(tail, enqueue_time_bytes(run), 1, true) then
    return value_of(key, head)
  end
  return job, first, tail
end

local function fields_of(id)
  local fields = read('HGETALL', K.data .. id) or {}
  for _, part in ipairs(fields) do bytes = bytes - #part end
  return fields
end

local function row_of(id, place)
  local raw = read('GET', K.record .. id)
  local record = record_of(raw)
  if not place then
    place, calls = {queued(id, queues)}, calls - #queues
  end
  local queue, score = unpack(place)
  local in_progress_ttl, tries, lost = read('PTTL', K.arq_in_progress .. id) or -2, false, false
  if in_progress_ttl ~= -2 then
    tries = read('GET', K.arq_retry .. id)
    if not record or record[F.state] ~= S.working or number(record[F.job_try]) < (tonumber(tries) or 0) then
      lost = lost_with(id)
    end
  end
  local job, job_head, job_tail = payload_of(id, record)
  local result, result_head, result_tail, result_left, returned = 0, '', '', -2, false
  -- arq treats an empty payload like a missing one
  if job == 0 and not queue then
    result, result_head, result_tail = value_of(K.arq_result .. id, head)
    result_left = read('PTTL', K.arq_result .. id) or -2
    returned = with_returned and result > 0 and result_head or false
    local run = record and has_ended(record) and number(record[F.enqueued_ms]) or 0
    if run > 0 and string.find(string.sub(result_head, 1, 256), enqueue_time_bytes(run), 1, true) then
      result, result_head, result_tail = 0, '', ''
    end
  end
  local beat = false
  if record and (in_progress_ttl ~= -2 or not has_ended(record)) then
    beat = last_beat_of(record, now - tonumber(K.dead_after_ms))
  end
  bytes, calls = bytes - #(raw or ''), calls - 12
  return {
    'open', raw, with_fields and record and fields_of(id) or false, job, job_head, job_tail, queue, score,
    in_progress_ttl, tries, lost, result, result_head, result_tail, result_left, beat, returned,
  }
end

for i = 3, last do
  if not rows[i - 2] then
    if i > 3 and (calls < 0 or bytes < 0) then
      for later = i - 2, last do rows[later] = nil end
      break
    end
    rows[i - 2] = row_of(ARGV[i], places[i])
  end
end
return {'facts', now, rows, dead or {}, news}
