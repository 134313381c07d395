-- Arq's queues, and whether a job is live.

-- The queues that tracked workers announced, and arq's own.
local function announced_queues()
  local queues, seen = {K.arq_queue}, {[K.arq_queue] = true}
  for _, queue in ipairs(read('ZRANGE', K.queues, 0, -1) or {}) do
    if not seen[queue] then
      seen[queue] = true
      queues[#queues + 1] = queue
    end
  end
  return queues
end

-- The queues that the arguments name from one on; without any, those that were announced.
local function queues_from(first)
  if not ARGV[first] then return announced_queues() end
  local queues = {}
  for i = first, #ARGV do queues[#queues + 1] = ARGV[i] end
  return queues
end

-- The queue that holds the job and its score there, or false.
local function queued(id, queues)
  for _, queue in ipairs(queues) do
    local score = read('ZSCORE', queue, id)
    if score then return queue, score end
  end
  return false, false
end

local function is_live(id, queues)
  return redis.call('EXISTS', K.arq_job .. id) == 1 or queued(id, queues) ~= false
end

-- Tell whether a key is the one that was to expire then, and has not been set since.
local function same_expiry(left, expires)
  if left < 0 or expires < 0 then return left == expires end
  return math.abs(now_ms() + left - expires) < 50
end
