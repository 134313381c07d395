-- Forgets what was tracked of a job.
-- ARGV: channel, id, tombstone (JSON text), ms that it stands, queues...
local id = ARGV[2]
local old = stored_record(id)
if old then
  local index = index_of(old)
  if index then read('ZREM', index, id) end
end
redis.call('DEL', K.record .. id, K.data .. id, K.payload .. id)
-- A live job's next write starts its record anew; an ended one's late write must not.
if not is_live(id, queues_of({unpack(ARGV, 5)})) then
  redis.call('SET', K.record .. id, ARGV[3], 'PX', ARGV[4])
end
publish(ARGV[1], {id})
return 1
