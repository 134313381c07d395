-- Asks a running job to stop.
-- ARGV: id, its run, what stands in `stops` for it; answers 1, or 0 where that run does not run.
local id, record = ARGV[1], stored_record(ARGV[1])
local runs = redis.call('EXISTS', K.arq_in_progress .. id, K.arq_job .. id) == 2
if not runs or not record or has_ended(record) or number(record.r) ~= tonumber(ARGV[2]) then return 0 end
-- a stop that is to be forced stays so
if read('HGET', K.stops, id) ~= ARGV[2] .. '!' then write('HSET', K.stops, id, ARGV[3]) end
return 1
