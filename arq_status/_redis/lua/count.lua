-- Add the ends that a worker has counted, and the ends that no worker counts.
-- ARGV: worker, number of its batch (a batch that is sent again is not added again), batch (a JSON list
-- of objects; name: queue and function; counts: {kind: number}; max_us: longest run; runs and waits:
-- {bucket, number, ...}; run_us and wait_us: their sums; last: the last job of a cron job). Without
-- ARGV only the latter are added.
-- Returns: time in ms.
--
-- Minutes and hours are lists with an entry for each one in which a job ended, oldest first. An entry is
-- a sequence of numbers, 7 bits per byte, lowest bits first: the minute or hour since 1970, a number for
-- each of `K.counted`, the longest run in µs, runs, waits. Runs and waits are: the number of durations,
-- the length of the rest, and for each bucket in turn twice its weight; 2n + 1 means n empty buckets.
local MOST_BUCKETS, GREATEST_WEIGHT = 11, 63
local MOST_FUNCTIONS = tonumber(K.most_counted)

local counted = {}
for name in string.gmatch(K.counted, '%a+') do counted[#counted + 1] = name end

local function pack(bytes, value)
  while value >= 128 do
    bytes[#bytes + 1] = string.char(128 + value % 128)
    value = math.floor(value / 128)
  end
  bytes[#bytes + 1] = string.char(value)
end

local function reader_of(entry)
  local position = 1
  return function()
    local value, scale, byte = 0, 1
    repeat
      byte = string.byte(entry, position) or 0
      value, scale, position = value + byte % 128 * scale, scale * 128, position + 1
    until byte < 128 or scale > 1e12
    return value
  end
end

-- Durations are {total, weights by bucket}.
local function pack_durations(bytes, durations)
  local buckets, numbers, following = {}, {}, 0
  for bucket in pairs(durations.weights) do buckets[#buckets + 1] = bucket end
  table.sort(buckets)
  for _, bucket in ipairs(buckets) do
    if bucket > following then numbers[#numbers + 1] = 2 * (bucket - following) + 1 end
    numbers[#numbers + 1] = 2 * durations.weights[bucket]
    following = bucket + 1
  end
  pack(bytes, durations.total)
  pack(bytes, #numbers)
  for _, value in ipairs(numbers) do pack(bytes, value) end
end

local function read_durations(next_number)
  local durations, bucket = {total = next_number(), weights = {}}, 0
  for _ = 1, math.min(next_number(), 400) do
    local value = next_number()
    if value % 2 == 1 then
      bucket = bucket + (value - 1) / 2
    else
      if value > 0 then durations.weights[bucket] = value / 2 end
      bucket = bucket + 1
    end
  end
  return durations
end

local function pack_entry(moment, tally)
  local bytes = {}
  pack(bytes, moment)
  for _, name in ipairs(counted) do pack(bytes, tally.counts[name] or 0) end
  pack(bytes, tally.max_us)
  pack_durations(bytes, tally.runs)
  pack_durations(bytes, tally.waits)
  return table.concat(bytes)
end

local function read_entry(entry)
  local next_number = reader_of(entry)
  local moment, tally = next_number(), {counts = {}}
  for _, name in ipairs(counted) do tally.counts[name] = next_number() end
  tally.max_us = next_number()
  tally.runs, tally.waits = read_durations(next_number), read_durations(next_number)
  return moment, tally
end

local function add_durations(durations, other)
  durations.total = durations.total + other.total
  for bucket, weight in pairs(other.weights) do
    durations.weights[bucket] = (durations.weights[bucket] or 0) + weight
  end
end

local function add_tally(tally, other)
  for name, value in pairs(other.counts) do tally.counts[name] = (tally.counts[name] or 0) + value end
  tally.max_us = math.max(tally.max_us, other.max_us)
  add_durations(tally.runs, other.runs)
  add_durations(tally.waits, other.waits)
end

-- Shrink durations: merge buckets that are small and close to each other, but preferably not around the
-- median and the 95th percentile.
local function thinned(durations)
  local list, sum, before, largest, weights = {}, 0, 0, 1, {}
  for bucket, weight in pairs(durations.weights) do
    list[#list + 1] = {bucket, weight}
    sum = sum + weight
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  for _, item in ipairs(list) do
    local rank = (before + item[2] / 2) / sum
    before = before + item[2]
    item[3] = (rank > 0.45 and rank < 0.55 or rank > 0.92 and rank < 0.97) and 1000 or 1
  end
  while #list > MOST_BUCKETS do
    local best, least = 1, math.huge
    for i = 1, #list - 1 do
      local low, high = list[i], list[i + 1]
      local loss = (low[2] + high[2]) * (high[1] - low[1]) * math.max(low[3], high[3])
      if loss < least then best, least = i, loss end
    end
    local low, high = list[best], table.remove(list, best + 1)
    local weight = low[2] + high[2]
    local middle = (low[1] * low[2] + high[1] * high[2]) / weight
    list[best] = {math.floor(middle + 0.5), weight, math.max(low[3], high[3])}
  end
  for _, item in ipairs(list) do largest = math.max(largest, item[2]) end
  local scale = math.min(1, GREATEST_WEIGHT / largest)
  for _, item in ipairs(list) do weights[item[1]] = math.max(1, math.floor(item[2] * scale + 0.5)) end
  return {total = durations.total, weights = weights}
end

-- Add to the last entry of a list if it is of this minute or hour, else append one.
local function add_to_list(key, now, unit, kept, tally)
  local moment, last = math.floor(now / unit), read('LINDEX', key, -1)
  if last then
    local of, before = read_entry(last)
    -- if the server's clock was set back, the last entry remains the last
    if of >= moment and of < moment + kept then
      add_tally(before, tally)
      redis.call('LSET', key, -1, pack_entry(of, before))
      return
    end
    before.runs, before.waits = thinned(before.runs), thinned(before.waits)
    redis.call('LSET', key, -1, pack_entry(of, before))
  end
  write('RPUSH', key, pack_entry(moment, tally))
  while redis.call('LLEN', key) > kept or reader_of(redis.call('LINDEX', key, 0))() <= moment - kept do
    redis.call('LPOP', key)
  end
  redis.call('PEXPIRE', key, kept * unit)
end

-- Add to the totals, which never decrease. Their buckets are each twice as wide as the previous one.
local function add_to_totals(key, tally)
  local numbers = {run_us = tally.run_us, wait_us = tally.wait_us}
  for name, value in pairs(tally.counts) do numbers[name] = value end
  for kind, durations in pairs({run = tally.runs, wait = tally.waits}) do
    for bucket, weight in pairs(durations.weights) do
      local name = kind .. math.ceil((bucket - tonumber(K.bucket_of_1_ms) + 1) / tonumber(K.per_doubling))
      numbers[name] = (numbers[name] or 0) + weight
    end
  end
  for name, value in pairs(numbers) do
    if value > 0 then write('HINCRBY', key, name, integer(value)) end
  end
end

local now = now_ms()

local function add(name, tally)
  if not read('ZSCORE', K.counted_functions, name)
    and (read('ZCARD', K.counted_functions) or 0) >= MOST_FUNCTIONS then
    name = string.match(name, '^(.*)%z') .. '\0' .. K.other
  end
  write('ZADD', K.counted_functions, now, name)
  add_to_list(K.minutes .. name, now, 60000, tonumber(K.minutes_kept), tally)
  add_to_list(K.hours .. name, now, 3600000, tonumber(K.hours_kept), tally)
  add_to_totals(K.totals .. name, tally)
end

local function durations_of(pairs_in_turn)
  local durations = {total = 0, weights = {}}
  for i = 1, #pairs_in_turn, 2 do
    durations.weights[pairs_in_turn[i]] = pairs_in_turn[i + 1]
    durations.total = durations.total + pairs_in_turn[i + 1]
  end
  return durations
end

-- "<state> <queue and function>" -> number
local lost = read('HSCAN', K.uncounted, 0, 'COUNT', 50) or {0, {}}
for i = 1, #lost[2], 2 do
  local ended, name = string.match(lost[2][i], '^(%a+) (.*)$')
  local none = {total = 0, weights = {}}
  if ended and string.find(name, '\0', 1, true) then
    add(name, {
      counts = {[ended] = tonumber(lost[2][i + 1]) or 0}, max_us = 0, runs = none, waits = none, run_us = 0, wait_us = 0,
    })
  end
  redis.call('HDEL', K.uncounted, lost[2][i])
end

if ARGV[3] and read('GET', K.counted_batch .. ARGV[1]) ~= ARGV[2] then
  redis.call('SET', K.counted_batch .. ARGV[1], ARGV[2], 'PX', 86400000)
  for _, it in ipairs(cjson.decode(ARGV[3])) do
    it.runs, it.waits = durations_of(it.runs), durations_of(it.waits)
    add(it.name, it)
    if it.last then write('HSET', K.last_cron_jobs, it.name, it.last) end
  end
end
return now
