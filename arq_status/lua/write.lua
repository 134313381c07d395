-- Writes a batch of records, each unless a newer one stands there.
-- ARGV: channel, JSON rows; answers the ids of those jobs that were asked to stop.
-- A row: id, first (1 for the first write of a try), record as JSON text, fields [name, JSON text, ...].

local function is_newer(old, new, first)
  if not old or number(old.r) == 0 then return true end
  if number(old.r) ~= new.r then
    if old.r < new.r then return true end
    -- a job that was cancelled when a worker had it already: that finds no payload, hence no run
    if new.r == 0 and has_ended(old) and number(new.e) - old.r - old.e < 5000 then return false end
    -- a run that began after what stands there had ended, enqueued where the clock is behind
    return first == 1 and old.s ~= 'deleted' and has_ended(old)
      and new.r + number(new.b or new.u or new.e) > old.r + old.e
  end
  if old.s == 'deleted' then return false end
  -- when a try was due tells those after `retry` from those before it
  local due, old_due = new.d or 0, number(old.d)
  if due ~= old_due then return due > old_due end
  if old.s == 'waiting' then return true end
  if has_ended(old) and not new.e and number(old.n) >= new.n then return false end
  if number(old.n) ~= new.n then return number(old.n) < new.n end
  return number(old.v) < new.v
end

local changed, stopping, ended_sets = {}, {}, {}
local stops = redis.call('EXISTS', K.stops) == 1

local function heed_stop(id, record)
  local asked = read('HGET', K.stops, id)
  if asked and tonumber(string.match(asked, '^%d+')) == record.r then
    if record.e then
      redis.call('HDEL', K.stops, id)
    else
      stopping[#stopping + 1] = id
    end
  end
end

for _, row in ipairs(cjson.decode(ARGV[2])) do
  local id, first, raw, fields = row[1], row[2], row[3], row[4]
  local new, old = record_of(raw), track_of(id)
  if is_newer(old, new, first) then
    if old and number(old.r) ~= 0 and old.r ~= new.r then
      redis.call('DEL', K.data .. id, K.payload .. id)
    end
    for i = 1, #fields, 2 do write('HSET', K.data .. id, fields[i], fields[i + 1]) end
    local ended_set = put(id, raw, new, old)
    if ended_set then ended_sets[ended_set] = true end
    if not new.e then
      if first == 1 then keep_payload(id, new.r) end
      if old and has_ended(old) then redis.call('PERSIST', K.data .. id) end
    else
      -- arq has not forgotten the job yet, or another has its id by now
      if new.s ~= 'complete' and redis.call('EXISTS', K.arq_in_progress .. id) == 1 then keep_payload(id, new.r) end
      if old or next(fields) or new.s ~= 'complete' then expire_belongings(id, new) end
    end
    changed[#changed + 1] = id
    if stops then heed_stop(id, new) end
  end
end
for name in pairs(ended_sets) do write('SADD', K.ended_sets, name) end
publish(ARGV[1], changed)
return stopping
