-- The jobs of the queues that are due later, those due first at the front.
-- ARGV: now in ms, most jobs, queues...; answers {id, score, id, score, ...}
local found, queues = {}, {}
for i = 3, #ARGV do queues[#queues + 1] = ARGV[i] end
for _, queue in ipairs(queues) do
  local jobs = read('ZRANGEBYSCORE', queue, '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
  for _, part in ipairs(jobs or {}) do found[#found + 1] = part end
end
return found
