-- Delete the tracking data of a job.
-- ARGV: channel, id, tombstone (JSON), lifetime of the tombstone in ms, queues...
-- Returns: 1.
local id = ARGV[2]
local old = stored_record(id)
if old then take_out(id, old) end
redis.call('DEL', K.record .. id)
drop_belongings(id)
-- the next write for a live job creates a new record; late writes for an ended one must not
if not is_live(id, queues_from(5)) then
  redis.call('SET', K.record .. id, ARGV[3], 'PX', ARGV[4])
end
publish(ARGV[1], subjects_of(id, old))
return 1
