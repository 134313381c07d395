-- The jobs that arq began in a worker and of which no record tells yet.
-- ARGV: worker, ms to keep them, ids...
local key = K.begun .. ARGV[1]
redis.call('DEL', key)
for i = 3, #ARGV do redis.call('SADD', key, ARGV[i]) end
redis.call('PEXPIRE', key, ARGV[2])
return 1
