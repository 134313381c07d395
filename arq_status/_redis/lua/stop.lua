-- Ask a running job to stop.
-- ARGV: id, its enqueue time, its entry in `stops`.
-- Returns: 1, or 0 if that run is not running.
local id, record = ARGV[1], stored_record(ARGV[1])
local runs = redis.call('EXISTS', K.arq_in_progress .. id, K.arq_job .. id) == 2
if not runs or not record or has_ended(record) then return 0 end
if number(record[F.enqueued_ms]) ~= tonumber(ARGV[2]) then return 0 end
-- a forced stop remains forced
if read('HGET', K.stops, id) ~= ARGV[2] .. '!' then write('HSET', K.stops, id, ARGV[3]) end
return 1
