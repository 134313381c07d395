-- What the scripts share: each gets the functions that it uses. K.<name> stands for a key.

-- A record, with what its text leaves out (see `Track.encode`).
local function record_of(raw)
  if type(raw) ~= 'string' then return nil end
  local ok, record = pcall(cjson.decode, raw)
  -- halves of surrogates: damage, but no reason to lose the rest
  if not ok then ok, record = pcall(cjson.decode, (string.gsub(raw, '\\u[dD]%x%x%x', '?'))) end
  if not ok or type(record) ~= 'table' then return nil end
  if record.s == nil and record.e then record.s = 'complete' end
  if record.n == nil then record.n = 1 end
  if record.z == nil then record.z = tonumber(K.default_expires) end
  return record
end

local function number(value)
  -- beyond are only damaged ones: infinities, NaN
  return type(value) == 'number' and math.abs(value) < 1e15 and value or 0
end

local function integer(value)
  return string.format('%.0f', value)
end

local function text(value, default)
  return type(value) == 'string' and value or default
end

-- A read that takes a key of the wrong type for a missing one.
local function read(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then return false end
  return reply
end

-- A write that replaces a key of the wrong type.
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
  return type(record.e) == 'number'
end

-- The index in which a record's job stands: by state, and where in it.
local function index_of(record)
  if record.s == 'deleted' then return nil end
  if has_ended(record) then return K.ended .. tostring(record.s) .. ':' .. integer(number(record.z)) end
  if record.s == 'working' then return K.running .. text(record.w, '') end
  return K.pending .. text(record.q, K.arq_queue)
end

local function stored_record(id)
  return record_of(read('GET', K.record .. id))
end

local function now_ms()
  local time = redis.call('TIME')
  -- rounded as arq rounds the times at which jobs are due
  return time[1] * 1000 + math.floor(time[2] / 1000 + 0.5)
end

-- The workers that died last and took no leave: {name, last heartbeat, description, ...}
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

-- Those that tracked workers announced, and arq's own.
local function announced_queues()
  local queues, seen = {K.arq_queue}, {[K.arq_queue] = true}
  for _, queue in ipairs(read('SMEMBERS', K.queues) or {}) do
    if not seen[queue] then
      seen[queue] = true
      queues[#queues + 1] = queue
    end
  end
  return queues
end

local function queues_of(given)
  if #given > 0 then return given end
  return announced_queues()
end

-- The queue that holds the job and its score there.
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

local function publish(channel, ids)
  if #ids > 0 then redis.call('PUBLISH', channel, cjson.encode(ids)) end
end

-- The enqueue time (ms) as the default pickle of a job or a result spells it. Written by arithmetic,
-- for `struct` is not everywhere (fakeredis has none).
local function enqueue_time_bytes(ms)
  local floor = math.floor
  return '\140\2et\148\138\6' .. string.char(ms % 256, floor(ms / 256) % 256, floor(ms / 65536) % 256,
    floor(ms / 16777216) % 256, floor(ms / 4294967296) % 256, floor(ms / 1099511627776) % 256)
end

-- Keeps arq's payload of a run that may not complete, as long as its record stands. For `retry`.
local function keep_payload(id, run)
  local size = read('STRLEN', K.arq_job .. id)
  if not size or size == 0 or size > tonumber(K.largest_payload) then return end
  local tail, wanted = redis.call('GETRANGE', K.arq_job .. id, -32, -1), enqueue_time_bytes(run)
  -- by now another run may have the id; other serializers do not tell
  if string.find(tail, string.sub(wanted, 1, -7), 1, true) and not string.find(tail, wanted, 1, true) then return end
  redis.call('COPY', K.arq_job .. id, K.payload .. id)
  redis.call('PERSIST', K.payload .. id)
end

-- Puts a record in the place of an older one, in the indexes as well. Of an ended job it answers the
-- name of its set, which is to stand among `ended_sets`.
local function put(id, raw, new, old)
  local index, before = index_of(new), old and index_of(old)
  if before and before ~= index then read('ZREM', before, id) end
  if not has_ended(new) then
    if before ~= index then
      write('ZADD', index, integer(new.r + new.u), id)
      -- whoever looks for a worker's jobs must find it, also if it has not sent a heartbeat yet
      if new.s == 'working' then write('ZADD', K.workers, 'NX', now_ms(), text(new.w, '')) end
    end
    redis.call('SET', K.record .. id, raw)
    return
  end
  write('ZADD', index, integer(new.r + new.e), id)
  -- what is said after the end does not put the clock back
  local left = old and has_ended(old) and old.r == new.r and old.e == new.e and redis.call('PTTL', K.record .. id) or -1
  redis.call('SET', K.record .. id, raw, 'PX', left > 0 and left or integer(new.z))
  return string.sub(index, #K.ended + 1)
end

-- What belongs to the record of an ended job goes when the record goes.
local function expire_belongings(id, record)
  local left = redis.call('PTTL', K.record .. id)
  redis.call('PEXPIRE', K.data .. id, left)
  if record.s == 'complete' then
    redis.call('DEL', K.payload .. id)
  else
    redis.call('PEXPIRE', K.payload .. id, left)
  end
end

-- Whether a key with so many ms to live is the one that was to expire then, and none set since.
local function same_expiry(left, expires)
  if left < 0 or expires < 0 then return left == expires end
  return math.abs(now_ms() + left - expires) < 50
end
