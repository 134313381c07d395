-- The ids on a page of the list, and the number of jobs per status, read at one moment.
-- ARGV: what to return: a page, "descending" or "ascending"; a "part" of a segment; or "ranks", how many
-- jobs of a segment come before given places. Jobs to skip, or the places (separated by spaces); maximum
-- number of ids; the segment (1 or 2); the wanted statuses (separated by spaces; "" for all); the suffix
-- of the indexes of the wanted jobs ("" for all); the first holder; the last holder or 0; the maximum
-- number of sources; queues...
-- Returns for a page: {time in ms, {status, number, ...}, {number of wanted jobs in each segment}, {id,
-- ...}, {id that is in a worker's index but no longer known to arq, ...}, dead workers, {index of live
-- jobs, ...}, {announced queue that the Redis user may not read, ...}, last holder, number of holders
-- after it, {first and last place of each segment, unless the page covers all holders}};
-- for a part: {id, place, ...}; for ranks: {number, ...}.
--
-- Holders are the sets of ended jobs, the queues and the workers. One call covers as many of them as it can
-- without blocking Redis for more than a few ms; those after the last one need further calls (see `Indexes`).
--
-- Segment 1: jobs that are working, interrupted, retrying or ended, sorted by their last change, and queued
-- jobs, sorted by when they became due; the newest come first. Segment 2, after it: deferred jobs, those
-- due first at the front. Jobs with the same place have the order of their holders.
local what, offset, count, wanted, label = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ' ' .. ARGV[5] .. ' ', ARGV[6]
local first, last, most_sources = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local queues, refused = queues_from(10)
local now, is_page = now_ms(), what ~= 'part' and what ~= 'ranks'
local alive_since = now - tonumber(K.dead_after_ms)
-- holders to check at once for being empty; maximum holders, and lookups of single jobs, in one call
local AT_ONCE, MOST_HOLDERS, lookups_left = math.max(1, math.min(25, most_sources)), 4000, 2000

local counts, sources, ended, busy, live_indexes, orphans = {}, {}, {}, {}, {}, {}

local function add(source)
  source.low, source.high = source.low or -math.huge, source.high or math.huge
  source.base, source.size = source.base or 0, math.max(0, source.gross - (source.without or 0))
  counts[source.status] = (counts[source.status] or 0) + source.size
  if source.size > 0 then sources[#sources + 1] = source end
  return source
end

local function add_live(status, key)
  local jobs = read('ZCARD', key) or 0
  if jobs == 0 then return end
  live_indexes[#live_indexes + 1] = key
  if status ~= S.waiting then add({status = status, key = key, gross = jobs}) end
end

-- The ended jobs of one state and expiry.
local is_end = {[S.complete] = true, [S.failed] = true, [S.stopped] = true, [S.interrupted] = true}
local function add_ended(name)
  local state, expires = string.match(name, '^(%a+):(%d+)$')
  if not is_end[state or ''] or #expires >= 15 then return end
  local key, low = K.ended .. name .. label, now - expires
  local gross = read('ZCOUNT', key, '(' .. integer(low), '+inf') or 0
  ended[#ended + 1] = add({status = state, key = key, gross = gross, low = low})
end

local function add_queue(queue)
  -- only jobs that have a record can have a tag or a group
  local key, minus = queue, K.started_by_due .. queue
  if label ~= '' then key, minus = K.waiting .. queue .. label, nil end
  local jobs, due, moment = read('ZCARD', key) or 0, 0, integer(now)
  local started, started_due = minus and jobs > 0 and read('ZCARD', minus) or 0, 0
  if jobs > 0 then due = read('ZCOUNT', key, '-inf', moment) or 0 end
  if started > 0 then started_due = read('ZCOUNT', minus, '-inf', moment) or 0 end
  local waiting = add({
    status = 'queued', key = key, gross = due, base = jobs - due, high = now,
    minus = started_due > 0 and minus, without = started_due,
  })
  add({
    status = 'deferred', key = key, gross = jobs - due, base = due, low = now, rising = true,
    minus = started > started_due and minus, without = started - started_due,
  })
  add_live(S.retrying, K.retrying .. queue .. label)
  add_live(S.interrupted, K.interrupted .. queue .. label)
  add_live(S.waiting, K.waiting .. queue .. label)
  busy[#busy + 1] = {name = queue, waiting = waiting, jobs = label == '' and jobs or read('ZCARD', queue) or 0}
end

local function find_orphans(index)
  for _, id in ipairs(read('ZRANGE', index, 0, 99) or {}) do
    if #orphans < 100 and lookups_left > 0 then
      lookups_left = lookups_left - #queues
      if not is_live(id, queues) then orphans[#orphans + 1] = id end
    end
  end
end

-- Jobs of a live worker are lost as well if arq has neither the job nor a result: their keys were deleted
-- or evicted. Usually there are none, so many are checked at a time.
local payload_checks_left = 2000
local function find_lost(index)
  local ids, keys = payload_checks_left > 0 and read('ZRANGE', index, 0, 99) or {}, {}
  for i, id in ipairs(ids) do keys[i] = K.arq_job .. id end
  payload_checks_left = payload_checks_left - #ids
  if #ids == 0 or redis.call('EXISTS', unpack(keys)) == #ids then return end
  for _, id in ipairs(ids) do
    if #orphans < 100 and lookups_left > 0 then
      lookups_left = lookups_left - 1
      if not is_live(id, queues) and redis.call('EXISTS', K.arq_result .. id) == 0 then
        orphans[#orphans + 1] = id
        counts[S.working], counts[S.interrupted] = counts[S.working] - 1, (counts[S.interrupted] or 0) + 1
      end
    end
  end
end

-- The queue of a worker according to its description or, if that has expired, to its jobs.
local function queue_of_worker(worker)
  local ok, described = pcall(cjson.decode, read('GET', K.worker .. worker) or '')
  if ok and type(described) == 'table' and described.queue then return described.queue end
  local oldest = read('ZRANGE', K.running .. worker, 0, 0) or {}
  local record = oldest[1] and stored_record(oldest[1])
  return record and queue_of(record)
end

local is_asked = {}
for i = 10, #ARGV do is_asked[ARGV[i]] = true end
local function add_worker(worker)
  if ARGV[10] and not is_asked[queue_of_worker(worker)] then return end
  local index = K.running .. worker .. label
  local is_alive = tonumber(read('ZSCORE', K.workers, worker)) >= alive_since
  add_live(is_alive and S.working or S.interrupted, index)
  if is_page and is_alive then find_lost(index) elseif is_page then find_orphans(index) end
end

local holders = read('SMEMBERS', K.ended_sets) or {}
-- the order must be the same in every call
table.sort(holders)
local before_queues, before_workers = #holders, #holders + #queues
for _, queue in ipairs(queues) do holders[#holders + 1] = queue end
for _, worker in ipairs(read('ZREVRANGE', K.workers, 0, 4999) or {}) do holders[#holders + 1] = worker end

local function holds_any(from, to)
  local keys = {}
  for i = from, to do
    local name = holders[i]
    if i <= before_queues then
      keys[#keys + 1] = K.ended .. name .. label
    elseif i > before_workers then
      keys[#keys + 1] = K.running .. name .. label
    else
      keys[#keys + 1] = name
      for _, prefix in ipairs({K.retrying, K.interrupted, K.waiting}) do keys[#keys + 1] = prefix .. name .. label end
    end
  end
  return redis.call('EXISTS', unpack(keys)) > 0
end

local position, up_to = first, last > 0 and math.min(last, #holders) or #holders
while position <= up_to and (last > 0 or #sources < most_sources and position - first < MOST_HOLDERS) do
  local of_these = math.min(up_to, position + AT_ONCE - 1)
  for i = position, holds_any(position, of_these) and of_these or 0 do
    if holds_any(i, i) then
      (i <= before_queues and add_ended or i > before_workers and add_worker or add_queue)(holders[i])
    end
  end
  position = of_these + 1
end

-- The status of a job that has ended and is in a queue, if arq has not stored the recorded end yet or the
-- next run has started.
local function status_until_stored(id, ended)
  if redis.call('EXISTS', K.arq_in_progress .. id) == 0 then return nil end
  local record = stored_record(id)
  local is_of_run = record and payload_is_of(id, number(record[F.enqueued_ms])) ~= false
  if not is_of_run and redis.call('EXISTS', K.arq_retry .. id) == 0 then return nil end
  -- working until arq decides how it ended, unless the worker has died
  lookups_left = lookups_left - 20
  local works = ended > alive_since or record and last_beat_of(record, alive_since)
  return works and S.working or S.interrupted
end

local function leave_out_of(source, id)
  if leave_out(source, id) then counts[source.status] = counts[source.status] - 1 end
end

-- An id may be in a queue while the record of an ended run exists. Finding such ids takes time proportional
-- to the shorter of both, so it is skipped if both are long.
local function leave_out_ended(queue, source)
  for _, id in ipairs(read('ZINTER', 2, queue.name, source.key) or {}) do
    local moment = tonumber(read('ZSCORE', source.key, id))
    local status = moment > source.low and status_until_stored(id, moment)
    if status then
      leave_out_of(queue.waiting, id)
      counts[source.status], counts[status] = counts[source.status] - 1, (counts[status] or 0) + 1
    elseif moment > source.low then
      leave_out_of(source, id)
    end
  end
end

for _, source in ipairs(ended) do
  for _, queue in ipairs(busy) do
    local shorter = math.min(source.gross, queue.jobs)
    if shorter > 0 and shorter <= lookups_left then
      lookups_left = lookups_left - shorter
      leave_out_ended(queue, source)
    end
  end
end

-- The wanted jobs, in two segments.
local segments = {{size = 0}, {size = 0}}
for _, source in ipairs(sources) do
  if source.left then table.sort(source.left, function(a, b) return a[2] < b[2] end) end
  if wanted == '  ' or string.find(wanted, ' ' .. source.status .. ' ', 1, true) then
    local segment = segments[source.rising and 2 or 1]
    segment[#segment + 1] = source
    segment.size = segment.size + source.size
  end
end

if what == 'ranks' then
  local ranks = {}
  for place in string.gmatch(ARGV[2], '%S+') do
    local before = 0
    for _, source in ipairs(segments[tonumber(ARGV[4])]) do before = before + (count_before(source, tonumber(place))) end
    ranks[#ranks + 1] = before
  end
  return ranks
end

local ids = {}
if what == 'part' then
  local segment = segments[tonumber(ARGV[4])]
  for _, job in ipairs(jobs_of(segment, offset, math.min(offset + count, segment.size))) do
    ids[#ids + 1], ids[#ids + 2] = job[4], integer(job[1])
  end
  return ids
end

local covers_all, newest, total = position > #holders, segments[1].size, segments[1].size + segments[2].size
local named = covers_all and math.max(0, math.min(count, total - offset)) or 0
if what == 'ascending' then offset = total - offset - named end
for _, job in ipairs(jobs_of(segments[1], math.min(offset, newest), math.min(offset + named, newest))) do
  ids[#ids + 1] = job[4]
end
for _, job in ipairs(jobs_of(segments[2], math.max(0, offset - newest), math.max(0, offset + named - newest))) do
  ids[#ids + 1] = job[4]
end
if what == 'ascending' then
  for i = 1, math.floor(#ids / 2) do ids[i], ids[#ids + 1 - i] = ids[#ids + 1 - i], ids[i] end
end

local numbers = {}
for status, jobs in pairs(counts) do
  numbers[#numbers + 1], numbers[#numbers + 2] = status, jobs
end
local places = {}
for i, segment in ipairs(first == 1 and covers_all and {} or segments) do
  if #segment > 0 then
    local low, high = ends_of(segment)
    places[2 * i - 1], places[2 * i] = integer(low), integer(high)
  else
    places[2 * i - 1], places[2 * i] = '0', '0'
  end
end
return {
  now, numbers, {segments[1].size, segments[2].size}, ids, orphans, dead_workers(alive_since), live_indexes,
  refused, position - 1, math.max(0, #holders - position + 1), places,
}
