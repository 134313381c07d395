-- Workers and their heartbeats.

-- The last workers that died without deregistering: {name, last heartbeat, description, ...}.
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

-- The last heartbeat of the worker named in a record, if it sends heartbeats or is known to be dead. The
-- record of an ended job lacks the random part of the name: a worker matches if it had started by the end.
local function last_beat_of(record, alive_since)
  local name = record[F.worker]
  if type(name) ~= 'string' then return false end
  if not has_ended(record) then return read('ZSCORE', K.workers, name) end
  local alive = read('ZRANGEBYSCORE', K.workers, integer(alive_since), '+inf', 'WITHSCORES', 'LIMIT', 0, 2000) or {}
  for i = 1, #alive, 2 do
    if string.sub(alive[i], 1, #name + 1) == name .. ':' then
      local ok, details = pcall(cjson.decode, read('GET', K.worker_details .. alive[i]) or '')
      local started = ok and type(details) == 'table' and number(details.started) or 0
      if started <= number(record[F.enqueued_ms]) + record[F.ended] then return alive[i + 1] end
    end
  end
  return false
end
