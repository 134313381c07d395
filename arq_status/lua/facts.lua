-- Everything that decides about jobs, read at one moment.
-- ARGV: version of the known options, "HEAD DEAD FIELDS QUEUES" (bytes of a payload's head, ms after
-- which a silent worker is dead, whether to give fields (0/1), number of queues), queues..., ids...
-- Answers: time in ms, version and options or false, a row per id (see Store.facts), dead workers.
local head, dead_after, with_fields, count = string.match(ARGV[2], '(%d+) (%d+) (%d) (%d+)')
head, with_fields, count = tonumber(head), with_fields == '1', tonumber(count)
local queues = queues_of({unpack(ARGV, 3, 2 + count)})

local function value_of(key, from)
  local length = read('STRLEN', key)
  -- false: a key of the wrong type; arq takes an empty one for a missing one
  if not length or length == 0 then return length or 1, '', '' end
  local first = read('GETRANGE', key, 0, from - 1)
  if length <= from then return length, first, '' end
  return length, first, read('GETRANGE', key, -512, -1)
end

-- Whether a result is of a run, if it has the usual form and no long arguments.
local function is_of_run(key, run)
  local head = read('GETRANGE', key, 0, 255)
  return head and run > 0 and string.find(head, enqueue_time_bytes(run), 1, true)
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
  if not dead then dead = dead_workers(clock() - dead_after) end
  for i = 1, #dead, 3 do
    if read('SISMEMBER', K.begun .. dead[i], id) == 1 then return dead[i] end
  end
  return false
end

local function row_of(id)
  local raw = read('GET', K.track .. id)
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
  local job, job_head, job_tail = value_of(K.arq_job .. id, record and math.min(head, 512) or head)
  local result, result_head, result_tail = 0, '', ''
  if job == 0 and not queue then
    -- that of the run whose end the record tells has nothing to add
    if not (record and has_ended(record) and is_of_run(K.arq_result .. id, number(record.r))) then
      result, result_head, result_tail = value_of(K.arq_result .. id, head)
    end
  elseif record and job > 512 and number(record.r) > 0
      and not string.find(job_tail, enqueue_time_bytes(record.r), 1, true) then
    job, job_head, job_tail = value_of(K.arq_job .. id, head)
  end
  local beat = false
  if record and not record.e and type(record.w) == 'string' then
    clock()
    beat = read('ZSCORE', K.workers, record.w)
  end
  local fields = with_fields and record and read('HGETALL', K.data .. id)
  return {
    raw, queue, score, ongoing, tries, job, job_head, job_tail,
    result, result_head, result_tail, beat, fields or false, lost,
  }
end

local options, version = false, read('GET', K.functions_version) or ''
if version ~= ARGV[1] then options = read('HGETALL', K.functions) or {} end
local rows = {}
for i = 3 + count, #ARGV do rows[#rows + 1] = row_of(ARGV[i]) end
return {now or 0, version, options, rows, dead or {}}
