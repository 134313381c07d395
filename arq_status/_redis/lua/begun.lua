-- Note the jobs that arq began in a worker and of which there is no record yet.
-- ARGV: worker, ms to keep them, ids...
-- Answer: 1.
local key = K.begun .. ARGV[1]
redis.call('DEL', key)
for i = 3, #ARGV do redis.call('SADD', key, ARGV[i]) end
redis.call('PEXPIRE', key, ARGV[2])
return 1
