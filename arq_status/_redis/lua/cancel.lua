-- Remove a job that is not running from its queue, unless it has changed since it was read.
-- ARGV: channel, id, the stored record as it was read (or ""), when the in-progress key expires as it
-- was read (ms; -1: never, -2: no key), "drop" or "keep" for that key, the final record (JSON),
-- queues...
-- Returns: 1, or 0 if the job has changed.
local id, in_progress = ARGV[2], K.arq_in_progress .. ARGV[2]
local queues = announced_queues()
for i = 7, #ARGV do queues[#queues + 1] = ARGV[i] end
local old, last = record_of(ARGV[3]), record_of(ARGV[6])
if (read('GET', K.record .. id) or '') ~= ARGV[3] or not is_live(id, queues) then return 0 end
if not same_expiry(redis.call('PTTL', in_progress), tonumber(ARGV[4])) then return 0 end

-- A worker that is about to start the job watches this key, so it has to give the job up.
if ARGV[4] == '-2' or ARGV[5] == 'drop' then
  redis.call('SET', in_progress, '1')
  redis.call('DEL', in_progress)
else
  redis.call('SET', in_progress, '1', 'KEEPTTL')
end
for _, queue in ipairs(queues) do read('ZREM', queue, id) end
local run = old and number(old[F.enqueued_ms])
if run and run ~= 0 and run ~= last[F.enqueued_ms] then drop_belongings(id) end
write('SADD', K.ended_sets, put(id, ARGV[6], last, old))
note_uncounted(last)
keep_payload(id, last)
expire_belongings(id, last)
redis.call('DEL', K.arq_job .. id, K.arq_retry .. id)
read('ZREM', K.arq_abort, id)
publish(ARGV[1], subjects_of(id, last))
return 1
