-- The ids on a page of the list, and how many jobs there are of each status, from one look.
-- ARGV: jobs to skip, jobs to name, "descending" or "ascending", the statuses wanted (with spaces
-- between; nothing for all), what stands behind the keys of the indexes of the jobs wanted (nothing for
-- all), queues...
-- Answer: {time in ms, {status, jobs, ...}, jobs of the wanted statuses, {id, ...}, {id that a dead
-- worker's index holds and arq does not, ...}, dead workers, {index of live jobs, ...}}.
--
-- A job that works, was interrupted, waits for its next try or has ended has its place by its last
-- change, a queued one by when it became due, the newest first. Deferred jobs come after them, those
-- due first at the front. Of jobs with one time the order is that of their sources below.
local offset, count, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), ' ' .. ARGV[4] .. ' '
local label, queues, now = ARGV[5], queues_from(6), now_ms()
local HUGE, LAST = math.huge, 1e15

-- Looks at single jobs that are left, so that Redis is held up for a few ms.
local looks = 2000

local counts, sources, live_indexes, orphans = {}, {}, {}, {}

-- A source is a stretch of a sorted set: what is above `low` and not above `high`. It may do without
-- the members of another set, `minus`, that have the same scores in both.
local function add_source(status, key, low, high, minus)
  local source = {status = status, key = key, low = low, high = high, minus = minus, rising = status == 'deferred'}
  local from, to = low == -HUGE and '-inf' or '(' .. integer(low), high == HUGE and '+inf' or integer(high)
  source.gross = read('ZCOUNT', key, from, to) or 0
  source.size = math.max(0, source.gross - (minus and read('ZCOUNT', minus, from, to) or 0))
  -- members before the stretch, from the end at which it begins
  source.base = source.rising and (read('ZCARD', key) or 0) - source.gross
    or high ~= HUGE and (read('ZCOUNT', key, '(' .. to, '+inf') or 0) or 0
  counts[status] = (counts[status] or 0) + source.size
  if source.size > 0 then sources[#sources + 1] = source end
  return source
end

-- Those of many workers or queues that have any of their keys: most have none, and so it is looked at
-- many at a time.
local function in_use(names, keys_of)
  local found, at_once = {}, 25
  for first = 1, #names, at_once do
    local keys, last = {}, math.min(#names, first + at_once - 1)
    for i = first, last do
      for _, key in ipairs(keys_of(names[i])) do keys[#keys + 1] = key end
    end
    if redis.call('EXISTS', unpack(keys)) > 0 then
      for i = first, last do
        if redis.call('EXISTS', unpack(keys_of(names[i]))) > 0 then found[#found + 1] = names[i] end
      end
    end
  end
  return found
end

local function move_count(from, to)
  counts[from], counts[to] = counts[from] - 1, (counts[to] or 0) + 1
end

-- Leave a member of a source out.
local function leave_out(source, id)
  local rank = source and read('ZREVRANK', source.key, id)
  source.left = source.left or {}
  if not rank or rank < source.base or source.left[id] or source.size == 0 then return end
  source.left[id] = true
  table.insert(source.left, {tonumber(read('ZSCORE', source.key, id)), rank - source.base})
  source.size, counts[source.status] = source.size - 1, counts[source.status] - 1
end

-- Tell whether arq has not booked a recorded end yet, or the next run has begun.
local function is_ending(id)
  if redis.call('EXISTS', K.arq_in_progress .. id) == 0 then return false end
  local record = stored_record(id)
  return record and payload_is_of(id, number(record[F.enqueued_ms])) ~= false
    or redis.call('EXISTS', K.arq_retry .. id) == 1
end

local function find_orphans(index)
  for _, id in ipairs(read('ZRANGE', index, 0, 99) or {}) do
    if #orphans < 100 and looks > 0 then
      looks = looks - #queues
      if not is_live(id, queues) then orphans[#orphans + 1] = id end
    end
  end
end

-- Jobs of a living worker that arq neither has nor has a result of are lost as well: their keys were
-- deleted or evicted. Mostly there are none, and so it is looked at many at a time.
local glances = 2000
local function find_lost(index)
  local ids, keys = glances > 0 and read('ZRANGE', index, 0, 99) or {}, {}
  for i, id in ipairs(ids) do keys[i] = K.arq_job .. id end
  glances = glances - #ids
  if #ids == 0 or redis.call('EXISTS', unpack(keys)) == #ids then return end
  for _, id in ipairs(ids) do
    if #orphans < 100 and looks > 0 then
      looks = looks - 1
      if not is_live(id, queues) and redis.call('EXISTS', K.arq_result .. id) == 0 then
        orphans[#orphans + 1] = id
        move_count(S.working, S.interrupted)
      end
    end
  end
end

-- A worker's queue is that of its description or, when that has expired, of its jobs.
local function queue_of_worker(worker)
  local ok, described = pcall(cjson.decode, read('GET', K.worker .. worker) or '')
  if ok and type(described) == 'table' and described.queue then return described.queue end
  local first = read('ZRANGE', K.running .. worker, 0, 0) or {}
  local record = first[1] and stored_record(first[1])
  return record and queue_of(record)
end

local is_asked = {}
for _, queue in ipairs(queues) do is_asked[queue] = true end
local alive_since = now - tonumber(K.dead_after_ms)
local workers, beats = {}, {}
for i, part in ipairs(read('ZREVRANGE', K.workers, 0, 999, 'WITHSCORES') or {}) do
  if i % 2 == 1 then workers[#workers + 1] = part else beats[workers[#workers]] = tonumber(part) end
end
for _, worker in ipairs(in_use(workers, function(name) return {K.running .. name .. label} end)) do
  if not ARGV[6] or is_asked[queue_of_worker(worker)] then
    local index, alive = K.running .. worker .. label, beats[worker] >= alive_since
    add_source(alive and S.working or S.interrupted, index, -HUGE, HUGE)
    live_indexes[#live_indexes + 1] = index
    if alive then find_lost(index) else find_orphans(index) end
  end
end

local function keys_of_queue(queue)
  return {queue, K.retrying .. queue .. label, K.interrupted .. queue .. label, K.waiting .. queue .. label}
end

local busy, waiting_in = in_use(queues, keys_of_queue), {}
for _, queue in ipairs(busy) do
  local _, retrying, interrupted, waiting = unpack(keys_of_queue(queue))
  -- with a tag or in a group are only jobs that have a record
  local all, without = queue, K.recorded .. queue
  if label ~= '' then all, without = waiting, nil end
  waiting_in[queue] = add_source('queued', all, -HUGE, now, without)
  add_source('deferred', all, now, HUGE, without)
  add_source(S.retrying, retrying, -HUGE, HUGE)
  add_source(S.interrupted, interrupted, -HUGE, HUGE)
  for _, index in ipairs({retrying, interrupted, waiting}) do live_indexes[#live_indexes + 1] = index end
end

-- An id may be in a queue while the record of an ended run lives. Looking for such ids takes time for
-- every member of the shorter of both, so that where both are long it is not done.
local is_end = {[S.complete] = true, [S.failed] = true, [S.stopped] = true, [S.interrupted] = true}
for _, name in ipairs(read('SMEMBERS', K.ended_sets) or {}) do
  local state, expires = string.match(name, '^(%a+):(%d+)$')
  if is_end[state or ''] and #expires < 15 then
    local source = add_source(state, K.ended .. name .. label, now - expires, HUGE)
    for _, queue in ipairs(busy) do
      local shorter = math.min(source.gross, read('ZCARD', queue) or 0)
      if shorter > 0 and shorter <= looks then
        looks = looks - shorter
        for _, id in ipairs(read('ZINTER', 2, queue, source.key) or {}) do
          if tonumber(read('ZSCORE', source.key, id)) > source.low then
            if is_ending(id) then
              leave_out(waiting_in[queue], id)
              -- arq decides, but its worker may have died
              local is_new = tonumber(read('ZSCORE', source.key, id)) > alive_since
              move_count(state, is_new and S.working or S.interrupted)
            else
              leave_out(source, id)
            end
          end
        end
      end
    end
  end
end
for _, source in ipairs(sources) do
  if source.left then table.sort(source.left, function(a, b) return a[2] < b[2] end) end
end

-- What is wanted, in two segments: those that come newest first, and deferred ones.
local segments, total = {{size = 0}, {size = 0}}, 0
for _, source in ipairs(sources) do
  if wanted == '  ' or string.find(wanted, ' ' .. source.status .. ' ', 1, true) then
    local segment = segments[source.rising and 2 or 1]
    segment[#segment + 1] = source
    segment.size, total = segment.size + source.size, total + source.size
  end
end

-- A place in a segment: a score, negated where the newest come first, so that places rise.

-- How many of the items of a list come before the first that something is true of.
local function first_of(list, is_true)
  local low, high = 0, #list
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_true(list[middle + 1]) then high = middle else low = middle + 1 end
  end
  return low
end

-- How many jobs of a source come before a place.
local function count_before(source, place)
  local low, high = source.low, source.high
  local from, to
  if source.rising then
    if place <= low then return 0 end
    from, to = '(' .. integer(low), '(' .. integer(place)
  else
    if -place >= high then return 0 end
    low = math.max(low, -place)
    from, to = low == -HUGE and '-inf' or '(' .. integer(low), high == HUGE and '+inf' or integer(high)
  end
  local before = read('ZCOUNT', source.key, from, to) or 0
  if source.minus then before = before - (read('ZCOUNT', source.minus, from, to) or 0) end
  if source.left then
    before = before - first_of(source.left, function(left) return left[1] <= -place end)
  end
  return math.max(0, before)
end

local function range(source, key, from, to, with_scores)
  local command = source.rising and 'ZRANGE' or 'ZREVRANGE'
  if with_scores then return read(command, key, from, to, 'WITHSCORES') or {} end
  return read(command, key, from, to) or {}
end

local function place_of(source, score)
  score = math.min(math.max(tonumber(score), -1), LAST)
  return source.rising and score or -score
end

-- How many jobs of each source are among the first so many of a segment.
local function positions(segment, first)
  local found = {}
  if first <= 0 or first >= segment.size then
    for i, source in ipairs(segment) do found[i] = first <= 0 and 0 or source.size end
    return found
  end
  local low, high = HUGE, -HUGE
  for _, source in ipairs(segment) do
    local ends = range(source, source.key, source.base, source.base, true)
    low = math.min(low, place_of(source, ends[2] or 0))
    local last = source.base + source.gross - 1
    high = math.max(high, place_of(source, range(source, source.key, last, last, true)[2] or 0))
  end
  -- the last place with no more than so many before it
  low, high = math.floor(low), math.ceil(high) + 1
  while low < high do
    local middle, before = math.ceil((low + high) / 2), 0
    for _, source in ipairs(segment) do before = before + count_before(source, middle) end
    if before <= first then low = middle else high = middle - 1 end
  end
  local left = first
  for i, source in ipairs(segment) do
    found[i] = count_before(source, low)
    left = left - found[i]
  end
  for i, source in ipairs(segment) do
    local more = math.min(left, math.max(0, count_before(source, low + 1) - found[i]))
    found[i], left = found[i] + more, left - more
  end
  return found
end

-- How many of the first `rank` members of a source's stretch do not count.
local function left_out(source, rank)
  if rank == 0 then return 0 end
  local left = source.left and first_of(source.left, function(it) return it[2] >= rank end) or 0
  if not source.minus then return left end
  local last = range(source, source.key, source.base + rank - 1, source.base + rank - 1, true)
  if not last[1] then return left end
  local score, from, to = last[2]
  local low = source.low == -HUGE and '-inf' or '(' .. integer(source.low)
  local high = source.high == HUGE and '+inf' or integer(source.high)
  if source.rising then from, to = low, '(' .. score else from, to = '(' .. score, high end
  local found = read('ZCOUNT', source.minus, from, to) or 0
  local same = read('ZCOUNT', source.minus, score, score) or 0
  -- of those with the same score the ones whose ids come no later
  local first = source.rising and (read('ZCOUNT', source.minus, '-inf', '(' .. score) or 0)
    or (read('ZCOUNT', source.minus, '(' .. score, '+inf') or 0)
  local a, b = 0, same
  while a < b do
    local middle = math.floor((a + b) / 2)
    local id = range(source, source.minus, first + middle, first + middle)[1] or ''
    local comes_later
    if source.rising then comes_later = id > last[1] else comes_later = id < last[1] end
    if comes_later then b = middle else a = middle + 1 end
  end
  return left + found + a
end

-- The rank in a source's stretch behind so many jobs that count.
local function rank_of(source, position)
  if position == 0 or not source.minus and not source.left then return position end
  local low, high = position, source.gross
  while low < high do
    local middle = math.floor((low + high) / 2)
    if middle - left_out(source, middle) >= position then high = middle else low = middle + 1 end
  end
  return low
end

-- The jobs of a source from one position to another, into a list of {place, source, number, id}.
local function collect(source, number, from, to, list)
  local rank, needed, chunks = rank_of(source, from), to - from, 0
  while needed > 0 and rank < source.gross and chunks < 50 do
    local last = math.min(source.gross, rank + needed + (source.minus and 20 or 0)) - 1
    local found = range(source, source.key, source.base + rank, source.base + last, true)
    if #found == 0 then return end
    local kept, ids = 0, {}
    for i = 1, #found, 2 do ids[#ids + 1] = found[i] end
    local outside = source.minus and read('ZMSCORE', source.minus, unpack(ids)) or {}
    for i, id in ipairs(ids) do
      if kept < needed and not outside[i] and not (source.left and source.left[id]) then
        kept = kept + 1
        list[#list + 1] = {math.floor(place_of(source, found[2 * i])), number, #list, id}
      end
    end
    needed, chunks, rank = needed - kept, chunks + 1, last + 1
    -- a long stretch that does not count is not walked
    if kept == 0 then rank = math.max(rank, rank_of(source, to - needed)) end
  end
end

-- The ids of a segment from one position to another.
local function slice(segment, first, last, ids)
  if first >= last then return end
  local from, list = positions(segment, first), {}
  local to
  if #segment * (last - first) > 3000 then to = positions(segment, last) end
  for number, source in ipairs(segment) do
    local limit = to and to[number] or math.min(source.size, from[number] + last - first)
    collect(source, number, from[number], limit, list)
  end
  table.sort(list, function(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    if a[2] ~= b[2] then return a[2] < b[2] end
    return a[3] < b[3]
  end)
  for i = 1, math.min(#list, last - first) do ids[#ids + 1] = list[i][4] end
end

local ids, named = {}, math.max(0, math.min(count, total - offset))
if ARGV[3] == 'ascending' then offset = total - offset - named end
if named > 0 then
  local newest = segments[1].size
  slice(segments[1], math.min(offset, newest), math.min(offset + named, newest), ids)
  slice(segments[2], math.max(0, offset - newest), math.max(0, offset + named - newest), ids)
end
if ARGV[3] == 'ascending' then
  for i = 1, math.floor(#ids / 2) do ids[i], ids[#ids + 1 - i] = ids[#ids + 1 - i], ids[i] end
end

local numbers = {}
for status, jobs in pairs(counts) do
  numbers[#numbers + 1], numbers[#numbers + 2] = status, jobs
end
return {now, numbers, total, ids, orphans, dead_workers(alive_since), live_indexes}
