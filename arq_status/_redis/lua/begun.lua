-- Store which jobs a worker has started that have no record yet.
-- ARGV: worker, ms to keep them, ids...
-- Returns: 1.
local key = K.begun .. ARGV[1]
redis.call('DEL', key)
for i = 3, #ARGV do redis.call('SADD', key, ARGV[i]) end
redis.call('PEXPIRE', key, ARGV[2])
return 1
