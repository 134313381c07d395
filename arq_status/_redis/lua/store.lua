-- Fields from outside the job.
-- ARGV: channel, id, record of a job that waits (JSON text), fields [name, JSON text, ...], queues...
-- Answers 1, or 0 where there is neither a live job nor a record.
local id, waiting = ARGV[2], record_of(ARGV[3])
local old = stored_record(id)
-- a payload that does not tell its run waits for another than the one that ended
local is_earlier = old and has_ended(old) and waiting.r == 0
    and redis.call('EXISTS', K.arq_job .. id) == 1 and redis.call('EXISTS', K.arq_in_progress .. id) == 0
local known = old and not is_earlier and old.s ~= 'deleted'
    and (number(old.r) == waiting.r or number(old.r) == 0 or waiting.r == 0)

if not known then
  if not is_live(id, queues_of({unpack(ARGV, 5)})) then return 0 end
  if old then
    local before = index_of(old)
    if before then read('ZREM', before, id) end
  end
  redis.call('DEL', K.data .. id, K.payload .. id)
  put(id, ARGV[3], waiting)
end
local fields = cjson.decode(ARGV[4])
for i = 1, #fields, 2 do write('HSET', K.data .. id, fields[i], fields[i + 1]) end
local expires = redis.call('PTTL', K.record .. id)
if expires >= 0 then redis.call('PEXPIRE', K.data .. id, expires) end
publish(ARGV[1], {id})
return 1
