-- Arq's payloads and the runs to which they belong.

-- The enqueue time (ms) as it is encoded in the default pickle of a job or a result. Computed by arithmetic,
-- because `struct` is not always available (fakeredis has none).
local function enqueue_time_bytes(ms)
  local floor = math.floor
  return '\140\2et\148\138\6' .. string.char(ms % 256, floor(ms / 256) % 256, floor(ms / 65536) % 256,
    floor(ms / 16777216) % 256, floor(ms / 4294967296) % 256, floor(ms / 1099511627776) % 256)
end

-- The enqueue time (ms) that a part of such a pickle contains, if any.
local function enqueue_time_in(part)
  local at = string.find(part or '', '\140\2et\148\138\6', 1, true)
  if not at or #part < at + 12 then return nil end
  local ms = 0
  for i = at + 12, at + 7, -1 do ms = ms * 256 + string.byte(part, i) end
  return ms
end

-- True if arq's payload belongs to the run with this enqueue time; nil if there is no payload or it cannot
-- be read because of a custom serializer.
local function payload_is_of(id, enqueued)
  local tail, wanted = read('GETRANGE', K.arq_job .. id, -32, -1) or '', enqueue_time_bytes(enqueued)
  if string.find(tail, wanted, 1, true) then return true end
  if string.find(tail, string.sub(wanted, 1, -7), 1, true) then return false end
end

-- True if a stored record belongs, or may belong, to the run with the enqueue time `run` (0: unknown).
local function record_is_of_run(id, record, run)
  if record[F.state] == S.deleted then return false end
  local of = number(record[F.enqueued_ms])
  if of ~= 0 and run ~= 0 then return of == run end
  -- the unreadable payload of a waiting job belongs to a later run than a record that has ended
  return run ~= 0 or not has_ended(record)
    or redis.call('EXISTS', K.arq_job .. id) == 0 or redis.call('EXISTS', K.arq_in_progress .. id) == 1
end

-- Keep arq's payload of a run that may not complete, for `retry`, unless its arguments are hidden. Returns
-- the number of bytes copied.
local function keep_payload(id, record)
  local enqueued = record[F.enqueued_ms]
  if record[F.hides_args] then return 0 end
  local size = read('STRLEN', K.arq_job .. id)
  if not size or size == 0 or size > tonumber(K.largest_payload) then return 0 end
  -- another run may have the id now
  if payload_is_of(id, enqueued) == false then return 0 end
  redis.call('COPY', K.arq_job .. id, K.payload .. id)
  redis.call('PERSIST', K.payload .. id)
  return size
end
