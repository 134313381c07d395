-- Put an ended job back into its queue, unless it has changed since it was read.
-- ARGV: channel, id, the stored record as it was read, queue, score, lifetime of arq's payload in ms, the
-- record of the waiting job (JSON), queues...
-- Returns: 1, or 0 if that is not possible.
local id, queue = ARGV[2], ARGV[4]
if read('GET', K.record .. id) ~= ARGV[3] or is_live(id, queues_from(8)) then return 0 end
local payload = read('GET', K.payload .. id)
if not payload then return 0 end
redis.call('SET', K.arq_job .. id, payload, 'PX', ARGV[6])
redis.call('ZADD', queue, ARGV[5], id)
redis.call('PERSIST', K.payload .. id)
keep_try(id, record_of(ARGV[3]), ARGV[3])
persist_belongings(id)
-- only the data stored from outside is kept
redis.call('DEL', K.data .. id)
redis.call('COPY', K.outside .. id, K.data .. id)
redis.call('DEL', K.arq_result .. id, K.arq_retry .. id, K.arq_in_progress .. id)
-- earlier requests to stop or abort do not apply to this run
read('ZREM', K.arq_abort, id)
read('HDEL', K.stops, id)
local waiting = record_of(ARGV[7])
put(id, ARGV[7], waiting, record_of(ARGV[3]))
publish(ARGV[1], subjects_of(id, waiting))
return 1
