-- Store fields from outside the job.
-- ARGV: channel, id, the record of a waiting job (JSON), fields (a JSON list: name, value as JSON, ...),
-- queues...
-- Returns: 1; 0 if there is neither a live job nor a record; or, negative, the size of the job's data in
-- bytes if that would be too large.
local id, waiting = ARGV[2], record_of(ARGV[3])
local old, run = stored_record(id), waiting[F.enqueued_ms]
local known = old and record_is_of_run(id, old, run)

local fields, given, size = cjson.decode(ARGV[4]), {}, 0
for i = 1, #fields, 2 do
  given[fields[i]], size = true, size + #fields[i] + #fields[i + 1]
end
local stored = known and read('HGETALL', K.data .. id) or {}
for i = 1, #stored, 2 do
  if not given[stored[i]] then size = size + #stored[i] + #stored[i + 1] end
end
if size > tonumber(K.data_limit) then return -size end

if not known then
  if not is_live(id, queues_from(5)) then return 0 end
  drop_belongings(id)
  put(id, ARGV[3], waiting, old)
end
for i = 1, #fields, 2 do
  write('HSET', K.data .. id, fields[i], fields[i + 1])
  -- the job may overwrite the former, but `retry` restores the latter
  write('HSET', K.outside .. id, fields[i], fields[i + 1])
end
local expires = redis.call('PTTL', K.record .. id)
if expires >= 0 then
  redis.call('PEXPIRE', K.data .. id, expires)
  redis.call('PEXPIRE', K.outside .. id, expires)
end
publish(ARGV[1], {id})
return 1
