-- Writes a batch of records, each unless a newer one stands there.
-- ARGV: channel, JSON rows; answers the ids of those jobs that were asked to stop.
-- A row: id, first (1 for the first write of a try), record as JSON text, fields [name, JSON text, ...].

local function is_newer(old, new, first)
  if not old or number(old.r) == 0 then return true end
  if number(old.r) ~= new.r then
    if old.r < new.r then return true end
    -- a run that began after what stands there had ended, enqueued where the clock is behind
    return first == 1 and old.s ~= 'deleted' and has_ended(old)
      and new.r + number(new.b or new.u) > old.r + old.e
  end
  if old.s == 'deleted' then return false end
  if old.s == 'waiting' then return true end
  if has_ended(old) and not new.e and number(old.n) >= new.n then return false end
  if number(old.n) ~= new.n then return number(old.n) < new.n end
  return number(old.v) < new.v
end

local changed, ended_sets, stopping = {}, {}, {}
local stops = redis.call('EXISTS', K.stops) == 1
for _, row in ipairs(cjson.decode(ARGV[2])) do
  local id, first, raw, fields = row[1], row[2], row[3], row[4]
  local new, old = cjson.decode(raw), track_of(id)
  if is_newer(old, new, first) then
    local index, before = index_of(new), old and index_of(old)
    if before and before ~= index then read('ZREM', before, id) end
    if old and number(old.r) ~= 0 and old.r ~= new.r then redis.call('DEL', K.data .. id) end
    for i = 1, #fields, 2 do write('HSET', K.data .. id, fields[i], fields[i + 1]) end
    if new.e then
      write('ZADD', index, string.format('%.0f', new.r + new.e), id)
      ended_sets[string.sub(index, #K.ended + 1)] = true
      if old or next(fields) then redis.call('PEXPIRE', K.data .. id, string.format('%.0f', new.z)) end
      redis.call('SET', K.track .. id, raw, 'PX', string.format('%.0f', new.z))
    else
      if before ~= index then
        write('ZADD', index, string.format('%.0f', new.r + new.u), id)
        -- whoever looks for a worker's jobs must find it, also if it has not sent a heartbeat yet
        if new.s == 'working' then write('ZADD', K.workers, 'NX', now_ms(), text(new.w, '')) end
      end
      if old and has_ended(old) then redis.call('PERSIST', K.data .. id) end
      redis.call('SET', K.track .. id, raw)
    end
    changed[#changed + 1] = id
    if stops then
      if new.e then
        read('HDEL', K.stops, id)
      elseif read('HGET', K.stops, id) == string.format('%.0f', new.r) then
        stopping[#stopping + 1] = id
      end
    end
  end
end
for name in pairs(ended_sets) do write('SADD', K.ended_sets, name) end
publish(ARGV[1], changed)
return stopping
