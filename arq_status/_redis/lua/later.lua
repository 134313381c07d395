-- The jobs of the queues that are due later, those due first at the front.
-- ARGV: now in ms, most jobs, queues...; answers {id, score, id, score, ...}
local found = {}
for i = 3, #ARGV do
  local jobs = read('ZRANGEBYSCORE', ARGV[i], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
  for _, part in ipairs(jobs or {}) do found[#found + 1] = part end
end
return found
