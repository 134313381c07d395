-- Arq's queues, and whether a job is live.

local function may_read(...)
  local reply = redis.pcall('EXISTS', ...)
  return type(reply) ~= 'table' or not string.find(reply.err, 'key', 1, true)
end

-- Arq's default queue and those that tracked workers announced; and separately, announced queues that the
-- Redis user may not read: a worker announces its queue before arq finds out that it may not use it.
local function announced_queues()
  local queues, refused = {K.arq_queue}, {}
  local announced = read('ZRANGE', K.queues, 0, -1) or {}
  for first = 1, #announced, 500 do
    local last = math.min(#announced, first + 499)
    -- one command is usually enough for all of them
    local all = may_read(unpack(announced, first, last))
    for i = first, last do
      local to = (all or may_read(announced[i])) and queues or refused
      if announced[i] ~= K.arq_queue then to[#to + 1] = announced[i] end
    end
  end
  return queues, refused
end

-- The queues given as the arguments from `first` on; without any, the announced ones.
local function queues_from(first)
  if not ARGV[first] then return announced_queues() end
  local queues = {}
  for i = first, #ARGV do queues[#queues + 1] = ARGV[i] end
  return queues, {}
end

-- The queue that holds the job, and its score there; false if there is none.
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

-- True if a key with this TTL still has the same expiry time, so that it has not been set again.
local function same_expiry(left, expires)
  if left < 0 or expires < 0 then return left == expires end
  return math.abs(now_ms() + left - expires) < 50
end
