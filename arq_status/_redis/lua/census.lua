-- What the indexes hold.
-- ARGV: now in ms, most jobs to name, queues...
-- Answers: per queue {name, jobs, of them due}; per ended set {name, jobs, scores of jobs that are
-- live again};
-- the jobs whose place in the queue does not tell their status: {id, "running" | "lost" | "pending",
-- live, queue or false, score or false}; the workers that died last.
local now, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local queues = queues_of({unpack(ARGV, 3)})

local FEW = 2000
local lengths = {}
for i, queue in ipairs(queues) do
  lengths[i] = {queue, read('ZCARD', queue) or 0, read('ZCOUNT', queue, '-inf', now) or 0}
end

local ended = {}
for _, name in ipairs(read('SMEMBERS', K.ended_sets) or {}) do
  local expires = tonumber(string.match(name, ':(%d+)$'))
  if expires then
    local jobs = read('ZCOUNT', K.ended .. name, '(' .. integer(now - expires), '+inf')
    ended[#ended + 1] = {name, jobs or 0, {}, now - expires}
  end
end

local special, seen = {}, {}

-- Ids that wait for another run while the record of an ended one lives. Looking for them takes time
-- for every job of the shorter of queue and set, so that there they must be few.
for i, queue in ipairs(queues) do
  for _, set in ipairs(ended) do
    local is_short = math.min(lengths[i][2], set[2]) <= FEW
    for _, id in ipairs(is_short and read('ZINTER', 2, queue, K.ended .. set[1]) or {}) do
      local score = read('ZSCORE', K.ended .. set[1], id)
      if tonumber(score) > set[4] then table.insert(set[3], score) end
      if not seen[id] and #special < limit then
        seen[id] = true
        special[#special + 1] = {id, 'pending', 1, queue, read('ZSCORE', queue, id)}
      end
    end
  end
end

local function name_members(index, kind)
  for _, id in ipairs(read('ZREVRANGE', index, 0, limit - #special - 1) or {}) do
    if #special >= limit then return end
    if not seen[id] then
      seen[id] = true
      local queue, score = queued(id, queues)
      local live = queue ~= false
      -- nor is a live job of a queue that was not asked for one of those that are over
      if live or redis.call('EXISTS', K.arq_job .. id) == 0 then
        special[#special + 1] = {id, kind, live and 1 or 0, queue, score}
      end
    end
  end
end

local alive_since = now_ms() - tonumber(K.dead_after)
local dead = dead_workers(alive_since)
local workers = read('ZRANGE', K.workers, 0, -1, 'WITHSCORES') or {}
for i = 1, #workers, 2 do
  local alive = tonumber(workers[i + 1]) >= alive_since
  if #special < limit then name_members(K.running .. workers[i], alive and 'running' or 'lost') end
end
for _, queue in ipairs(queues) do
  if #special < limit then name_members(K.pending .. queue, 'pending') end
end
return {lengths, ended, special, dead}
