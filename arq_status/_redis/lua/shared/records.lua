-- Stored records and the indexes that hold their jobs.

-- Decode a stored record, adding the defaults that its JSON omits (see `StoredRecord.encode`).
local function record_of(raw)
  if type(raw) ~= 'string' then return nil end
  local ok, record = pcall(cjson.decode, raw)
  -- lone surrogates are damage, but no reason to lose the rest
  if not ok then ok, record = pcall(cjson.decode, (string.gsub(raw, '\\u[dD]%x%x%x', '?'))) end
  if not ok or type(record) ~= 'table' then return nil end
  if record[F.state] == nil and record[F.ended] then record[F.state] = S.complete end
  if record[F.job_try] == nil then record[F.job_try] = 1 end
  if record[F.expires_after_ms] == nil then record[F.expires_after_ms] = tonumber(K.default_expires_ms) end
  return record
end

local function has_ended(record)
  return type(record[F.ended]) == 'number'
end

-- When a record's job ended or, if it has not, last changed.
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
  if has_ended(record) then return K.ended .. tostring(state) .. ':' .. integer(number(record[F.expires_after_ms])) end
  if state == S.working then return K.running .. text(record[F.worker], '') end
  if state == S.retrying then return K.retrying .. queue_of(record) end
  if state == S.interrupted then return K.interrupted .. queue_of(record) end
  if state == S.waiting then return K.waiting .. queue_of(record) end
end

-- The index of the started jobs of its queue, if it is one of them.
local function started_index_of(record)
  local state = record[F.state]
  if has_ended(record) or state ~= S.working and state ~= S.retrying and state ~= S.interrupted then return nil end
  return K.started_by_due .. queue_of(record)
end

local function stored_record(id)
  return record_of(read('GET', K.record .. id))
end

-- What is published when a record changes: the id of its job, and its group if it has one.
local function subjects_of(id, record)
  local group = record and text(record[F.group])
  return group and {id, K.group_subject .. group} or {id}
end
