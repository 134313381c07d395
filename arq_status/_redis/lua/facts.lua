-- Everything that decides about jobs, read at one moment.
-- ARGV: version of what is known of the workers' announcements; a character that tells how (see
-- `Lookup`) and the queues, with byte 255 between them; ids...
-- Answers: a row per id (see `Lookup`), and unless these say it all: time in ms, or 0 where no row
-- needs it; dead workers; {version, queues, options} where that has changed, or false.
-- Of a job whose status alone is asked for instead, where they tell it: the state of its record, or
-- false and its score in the queue.

-- What most are asked about comes first: a job that has ended, or one that waits for its first try.
-- Making a function takes longer than answering these, and so none is made before they are.
local how, listed = string.byte(ARGV[2]) - 48, string.sub(ARGV[2], 2)
local with_fields, follow, for_status = how % 2 == 1, how % 4 > 1, how > 15
local head = how % 16 > 7 and 1048576 or how % 8 > 3 and 1024 or 65536
local look = for_status and 1 or head
local queues = {listed}
if string.find(listed, '\255', 1, true) then
  queues = {}
  for queue in string.gmatch(listed, '[^\255]+') do queues[#queues + 1] = queue end
end

local rows, known, open = {}, false, false
for i = 3, #ARGV do
  local id, row, queue, score = ARGV[i], false, nil, nil
  local both = redis.call('MGET', K.record .. id, K.announced)
  local raw = both[1]
  known = (both[2] or '') == ARGV[1]
  if not known then break end
  local job = redis.pcall('GETRANGE', K.arq_job .. id, 0, look - 1)
  for q = 1, #queues do
    score = redis.pcall('ZSCORE', queues[q], id)
    if score then queue = queues[q] break end
  end
  if job == '' and not queue then
    local result = redis.pcall('GETRANGE', K.arq_result .. id, 0, 255)
    if not raw then
      if result == '' then row = {false} end
    elseif string.find(raw, '"e":', 1, true) then
      -- the result of the run whose end the record tells has nothing to add
      local told, run = result == '', string.match(raw, '^{"r":(%d+),')
      if not told and run and #run < 15 and type(result) == 'string' then
        local floor = math.floor
        told = string.find(result, '\140\2et\148\138\6' .. string.char(run % 256, floor(run / 256) % 256,
          floor(run / 65536) % 256, floor(run / 16777216) % 256, floor(run / 4294967296) % 256,
          floor(run / 1099511627776) % 256), 1, true)
      end
      if told then
        -- no text in a record can contain this: quotes in there are escaped
        row = {for_status and (string.match(raw, '"s":"(%a+)"') or 'complete') or raw}
        if with_fields then
          row[2] = redis.pcall('HGETALL', K.data .. id)
          if row[2].err then row = false end
        end
      end
    end
  elseif not raw and type(score) == 'string' and type(job) == 'string' and (for_status or #job < head)
      and redis.call('EXISTS', K.arq_in_progress .. id) == 0 then
    row = for_status and {false, score} or {false, false, job, queue, score}
  end
  if for_status and row then return row end
  rows[i - 2], open = row, open or not row
end
if known and not open then return {rows} end

-- @common

local news = false
if not known then
  news = {read('GET', K.announced) or '', announced_queues(), read('HGETALL', K.functions) or {}}
  if follow then queues = news[2] end
end

local function value_of(key, from)
  local length = read('STRLEN', key)
  -- false: a key of the wrong type
  if not length or length == 0 then return length or 1, '', '' end
  local first = read('GETRANGE', key, 0, from - 1)
  if length <= from then return length, first, '' end
  return length, first, read('GETRANGE', key, -512, -1)
end

-- Only where a job may be with a worker.
local now
local function clock()
  if not now then now = now_ms() end
  return now
end

-- Only where a try may be in progress of which no record tells.
local dead
local function lost_with(id)
  if not dead then dead = dead_workers(clock() - tonumber(K.dead_after)) end
  for i = 1, #dead, 3 do
    if read('SISMEMBER', K.begun .. dead[i], id) == 1 then return dead[i] end
  end
  return false
end

local function payload_of(id, record)
  local key = K.arq_job .. id
  local job, first, last = value_of(key, record and math.min(head, 512) or head)
  if record and job > 512 and number(record.r) > 0
      and not string.find(last, enqueue_time_bytes(record.r), 1, true) then
    return value_of(key, head)
  end
  return job, first, last
end

local function row_of(id)
  local raw = read('GET', K.record .. id)
  local record = record_of(raw)
  local queue, score = queued(id, queues)
  local ongoing, tries, lost = read('PTTL', K.arq_in_progress .. id) or -2, false, false
  if ongoing ~= -2 then
    clock()
    tries = read('GET', K.arq_retry .. id)
    if not record or record.s ~= 'working' or number(record.n) < (tonumber(tries) or 0) then
      lost = lost_with(id)
    end
  end
  local job, job_head, job_tail = payload_of(id, record)
  local result, result_head, result_tail = 0, '', ''
  -- arq takes an empty payload for a missing one
  if job == 0 and not queue then
    result, result_head, result_tail = value_of(K.arq_result .. id, head)
    if record and has_ended(record) and number(record.r) > 0
        and string.find(string.sub(result_head, 1, 256), enqueue_time_bytes(record.r), 1, true) then
      result, result_head, result_tail = 0, '', ''
    end
  end
  local beat = false
  if record and not record.e and type(record.w) == 'string' then
    clock()
    beat = read('ZSCORE', K.workers, record.w)
  end
  return {
    raw, with_fields and record and read('HGETALL', K.data .. id) or false,
    job, job_head, job_tail, queue, score, ongoing, tries, lost, result, result_head, result_tail, beat,
  }
end

for i = 3, #ARGV do rows[i - 2] = rows[i - 2] or row_of(ARGV[i]) end
return {rows, now or 0, dead or {}, news}
