-- A worker's farewell: dead at once. ARGV: worker
if redis.call('EXISTS', K.running .. ARGV[1], K.begun .. ARGV[1]) > 0 then
  -- it leaves jobs behind: whoever looks next must find them
  write('ZADD', K.workers, 0, ARGV[1])
else
  redis.call('DEL', K.worker .. ARGV[1])
  read('ZREM', K.workers, ARGV[1])
end
return 1
