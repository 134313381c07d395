-- Writes a batch of records, each unless a newer one stands there.
-- ARGV: channel, rows, and for every expiry in ms of jobs that completed before anything of them was
-- written: that expiry, rows. Byte 255 stands behind each part of a row.
-- A row: id, "first" (of a try), "later" or the version that a guess at the end is made of, record as
-- JSON text, nothing or fields as JSON [name, JSON text, ...].
-- One of a job that completed: id, end in ms, record.
-- Answers {time in ms, {id of a job that was asked to stop, ...}}.

local function is_newer(old, new, kind)
  if not old or number(old.r) == 0 then return true end
  if number(old.r) ~= new.r then
    if old.r < new.r then return true end
    -- a job that was cancelled when a worker had it already, or in a queue that nobody knew: a worker
    -- finds no payload, hence no run
    if new.r == 0 and has_ended(old) and (old.s == 'stopped' or number(new.e) - old.r - old.e < 5000) then return false end
    -- a run that began after what stands there had ended, enqueued where the clock is behind
    return kind == 'first' and old.s ~= 'deleted' and has_ended(old)
      and new.r + number(new.b or new.u or new.e) > old.r + old.e
  end
  if old.s == 'deleted' then return false end
  -- when a try was due tells those after `retry` from those before it
  local due, old_due = new.d or 0, number(old.d)
  if due ~= old_due then return due > old_due end
  if old.s == 'waiting' then return true end
  if number(old.n) ~= new.n then return number(old.n) < new.n end
  local seen = tonumber(kind)
  if seen then return not has_ended(old) and number(old.v) <= seen end
  -- a worker that was only thought dead knows better than those who thought so
  if has_ended(new) then return not has_ended(old) or old.s == new.s or old.s == 'interrupted' end
  return not has_ended(old) and number(old.v) < new.v
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

local function write_row(id, kind, raw, fields)
  local new, old = record_of(raw), stored_record(id)
  if not is_newer(old, new, kind) then return end
  if old and number(old.r) ~= 0 and old.r ~= new.r then
    redis.call('DEL', K.data .. id, K.payload .. id)
  end
  if fields ~= '' then
    local flat = cjson.decode(fields)
    for i = 1, #flat, 2 do write('HSET', K.data .. id, flat[i], flat[i + 1]) end
  end
  local ended_set = put(id, raw, new, old)
  if ended_set then ended_sets[ended_set] = true end
  if not new.e then
    if kind == 'first' then keep_payload(id, new.r) end
    if old and has_ended(old) then redis.call('PERSIST', K.data .. id) end
  else
    -- arq has not forgotten the job yet, or another has its id by now
    if new.s ~= 'complete' and redis.call('EXISTS', K.arq_in_progress .. id) == 1 then keep_payload(id, new.r) end
    if old or fields ~= '' or new.s ~= 'complete' then expire_belongings(id, new) end
  end
  changed[#changed + 1] = id
  if stops then heed_stop(id, new) end
end

for id, kind, raw, fields in string.gmatch(ARGV[2], '([^\255]*)\255([^\255]*)\255([^\255]*)\255([^\255]*)\255') do
  write_row(id, kind, raw, fields)
end

-- The most usual of all rows, hence without a look at what stands there: it is new, or not so usual.
for i = 3, #ARGV, 2 do
  local expires, entries = ARGV[i], {}
  for id, ended, raw in string.gmatch(ARGV[i + 1], '([^\255]*)\255(%d+)\255([^\255]*)\255') do
    if not stops and redis.call('SET', K.record .. id, raw, 'PX', expires, 'NX') then
      entries[#entries + 1], entries[#entries + 2] = ended, id
      changed[#changed + 1] = id
    else
      write_row(id, 'first', raw, '')
    end
  end
  if #entries > 0 then
    local ended_set = 'complete:' .. expires
    write('ZADD', K.ended .. ended_set, unpack(entries))
    ended_sets[ended_set] = true
  end
end

for name in pairs(ended_sets) do write('SADD', K.ended_sets, name) end
publish(ARGV[1], changed)
return {now_ms(), stopping}
