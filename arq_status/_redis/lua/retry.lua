-- Put an ended job back into its queue, unless something of it changed since it was read.
-- ARGV: channel, id, the stored record that was read, queue, score, ms that arq's payload lives, the
-- record of the waiting job (JSON text), queues...
-- Answer: 1, or 0 where that cannot be.
local id, queue = ARGV[2], ARGV[4]
if read('GET', K.record .. id) ~= ARGV[3] or is_live(id, queues_from(8)) then return 0 end
local payload = read('GET', K.payload .. id)
if not payload then return 0 end
redis.call('SET', K.arq_job .. id, payload, 'PX', ARGV[6])
redis.call('ZADD', queue, ARGV[5], id)
redis.call('PERSIST', K.payload .. id)
keep_try(id, record_of(ARGV[3]), ARGV[3])
persist_belongings(id)
-- of its data it keeps what came from outside
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
