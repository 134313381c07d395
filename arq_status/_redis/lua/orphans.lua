-- Find the jobs of an index that arq no longer has, and repair the index: remove ids without a record,
-- delete the record, data, tries and log of jobs whose id is now used by another run, and correct due
-- times.
-- ARGV: index, rank to start at, maximum number of jobs, queues...
-- Returns: {rank to continue at, or -1 at the end, {id, ...}}.
local index, start, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local queues = queues_from(4)
local ids = read('ZRANGE', index, start, start + count - 1) or {}
local found, dropped, cost, seen = {}, 0, 0, 0

for _, id in ipairs(ids) do
  -- do not block Redis for more than a few ms
  if cost > 4000 then break end
  seen, cost = seen + 1, cost + 10
  local record = stored_record(id)
  local run = record and number(record[F.enqueued_ms]) or 0
  if not record or index_of(record) ~= index then
    -- evicted, or damaged
    if read('ZREM', index, id) == 1 then dropped = dropped + 1 end
  elseif redis.call('EXISTS', K.arq_job .. id) == 0 then
    cost = cost + #queues
    if not queued(id, queues) then found[#found + 1] = id end
  elseif run > 0 and payload_is_of(id, run) == false then
    redis.call('DEL', K.record .. id)
    drop_belongings(id)
    take_out(id, record, place_of_lost(record))
    dropped = dropped + 1
  else
    -- the due time in the record was only a forecast
    local started_index, due = started_index_of(record), read('ZSCORE', queue_of(record), id)
    if started_index and due and read('ZSCORE', started_index, id) ~= due then read('ZADD', started_index, due, id) end
  end
end
return {seen < count and seen == #ids and -1 or start + seen - dropped, found}
