-- Everything that decides about jobs, read at one moment.
-- ARGV: bytes of a payload's head, version of the known options, ms after which a silent worker is
-- dead, with fields (0/1), number of queues, queues..., ids...
-- Answers: time in ms, version and options or false, a row per id (see Store.facts), dead workers.
local head, with_fields, count = tonumber(ARGV[1]), ARGV[4] == '1', tonumber(ARGV[5])
local queues = {}
for i = 1, count do queues[i] = ARGV[5 + i] end
queues = queues_of(queues)
local now = now_ms()

local function value_of(key, from)
  local length = read('STRLEN', key)
  if not length or length == 0 then return redis.call('EXISTS', key) == 1 and 1 or 0, '', '' end
  local first = read('GETRANGE', key, 0, from - 1)
  if length <= from then return length, first, '' end
  return length, first, read('GETRANGE', key, -512, -1)
end

-- Only where a try may be in progress of which no record tells.
local dead
local function lost_with(id)
  if not dead then dead = dead_workers(now - tonumber(ARGV[3])) end
  for i = 1, #dead, 3 do
    if read('SISMEMBER', K.begun .. dead[i], id) == 1 then return dead[i] end
  end
  return false
end

local function row_of(id)
  local raw = read('GET', K.track .. id)
  local record = decoded(raw)
  local queue, score = queued(id, queues)
  local ongoing, tries, lost = read('PTTL', K.arq_in_progress .. id) or -2, false, false
  if ongoing ~= -2 then
    tries = read('GET', K.arq_retry .. id)
    if not record or record.s ~= 'working' or number(record.n) < (tonumber(tries) or 0) then
      lost = lost_with(id)
    end
  end
  local job, job_head, job_tail = value_of(K.arq_job .. id, record and math.min(head, 512) or head)
  local result, result_head, result_tail = 0, '', ''
  if job == 0 and not queue then
    result, result_head, result_tail = value_of(K.arq_result .. id, head)
    if record and has_ended(record) and number(record.r) > 0 and result > 0
        and string.find(result_head, enqueue_time_bytes(record.r), 1, true) then
      -- the result of the run that the record tells of: nothing to learn from it
      result, result_head, result_tail = 0, '', ''
    end
  elseif record and job > 512 and number(record.r) > 0
      and not string.find(job_tail, enqueue_time_bytes(record.r), 1, true) then
    job, job_head, job_tail = value_of(K.arq_job .. id, head)
  end
  local beat = record and type(record.w) == 'string' and read('ZSCORE', K.workers, record.w)
  local fields = with_fields and record and read('HGETALL', K.data .. id)
  return {
    raw, queue, score, ongoing, tries, job, job_head, job_tail,
    result, result_head, result_tail, beat or false, fields or false, lost,
  }
end

local options, version = false, read('GET', K.functions_version) or ''
if version ~= ARGV[2] then options = read('HGETALL', K.functions) or {} end
local rows = {}
for i = 6 + count, #ARGV do rows[#rows + 1] = row_of(ARGV[i]) end
return {now, version, options, rows, dead or {}}
