-- Sources of the list: ranges of sorted sets, merged into one order.
--
-- A source is the part of the set `key` with scores above `low` and up to `high`: `gross` members, after
-- `base` others. Its jobs have the status `status`. The highest score comes first, unless it is `rising`. It
-- excludes the members of another set, `minus`, which have the same scores in both, and those that are
-- `left` out: by id, and in a list of {score, rank}. `size` members remain.
--
-- A place is a score, negated if the highest comes first, so that places are ascending. A segment is a list
-- of sources that are all rising or all not.

local function range_of(source, key, from, to, with_scores)
  local command = source.rising and 'ZRANGE' or 'ZREVRANGE'
  if with_scores then return read(command, key, from, to, 'WITHSCORES') or {} end
  return read(command, key, from, to) or {}
end

local function place_of(source, score)
  score = math.min(math.max(tonumber(score), -1), 1e15)
  return source.rising and score or -score
end

-- The scores of a source as arguments of ZCOUNT.
local function bounds_of(low, high)
  return low == -math.huge and '-inf' or '(' .. integer(low), high == math.huge and '+inf' or integer(high)
end

-- Exclude a member of a source.
local function leave_out(source, id)
  local rank = read('ZREVRANK', source.key, id)
  source.left = source.left or {}
  if not rank or rank < source.base or source.left[id] or source.size == 0 then return false end
  source.left[id] = true
  table.insert(source.left, {tonumber(read('ZSCORE', source.key, id)), rank - source.base})
  source.size = source.size - 1
  return true
end

-- How many items of a list come before the first one for which `is_true`; by bisection.
local function first_of(list, is_true)
  local low, high = 0, #list
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_true(list[middle + 1]) then high = middle else low = middle + 1 end
  end
  return low
end

-- How many jobs of a source come before a place, and how many members including excluded ones.
local function count_before(source, place)
  local from, to
  if source.rising then
    if place <= source.low then return 0, 0 end
    from, to = '(' .. integer(source.low), '(' .. integer(place)
  else
    if -place >= source.high then return 0, 0 end
    from, to = bounds_of(math.max(source.low, -place), source.high)
  end
  local rank = read('ZCOUNT', source.key, from, to) or 0
  local before = rank
  if source.minus then before = before - (read('ZCOUNT', source.minus, from, to) or 0) end
  if source.left then
    before = before - first_of(source.left, function(left) return left[1] <= -place end)
  end
  return math.max(0, before), rank
end

-- The places of a segment's first and last members.
local function ends_of(segment)
  local low, high = math.huge, -math.huge
  for _, source in ipairs(segment) do
    local last = source.base + source.gross - 1
    low = math.min(low, place_of(source, range_of(source, source.key, source.base, source.base, true)[2] or 0))
    high = math.max(high, place_of(source, range_of(source, source.key, last, last, true)[2] or 0))
  end
  return math.floor(low), math.ceil(high)
end

-- How many jobs of each source are among the first `first` jobs of a segment, and the ranks after them.
local function positions_in(segment, first)
  local below, above, ranks, low, high = {}, {}, {}, ends_of(segment)
  for i, source in ipairs(segment) do below[i], above[i], ranks[i] = 0, source.size, 0 end
  if first >= segment.size then return above, {} end
  -- find the last place with at most `first` jobs before it: `below` are before `low`, and `above` before the
  -- place after `high`
  high = high + 1
  while low < high do
    local middle, before, ranks_before, total = math.ceil((low + high) / 2), {}, {}, 0
    for i, source in ipairs(segment) do
      if below[i] == above[i] then
        before[i], ranks_before[i] = below[i], ranks[i]
      else
        before[i], ranks_before[i] = count_before(source, middle)
      end
      total = total + before[i]
    end
    if total <= first then
      low, below, ranks = middle, before, ranks_before
    else
      high, above = middle - 1, before
    end
  end
  for i = 1, #segment do first = first - below[i] end
  for i = 1, #segment do
    local more = math.min(first, math.max(0, above[i] - below[i]))
    below[i], first = below[i] + more, first - more
    if more > 0 then ranks[i] = nil end
  end
  return below, ranks
end

-- How many of the first `rank` members of a source are excluded.
local function left_out(source, rank)
  if rank == 0 then return 0 end
  local left = source.left and first_of(source.left, function(it) return it[2] >= rank end) or 0
  if not source.minus then return left end
  local last = range_of(source, source.key, source.base + rank - 1, source.base + rank - 1, true)
  if not last[1] then return left end
  local score, from, to = last[2]
  local low, high = bounds_of(source.low, source.high)
  if source.rising then from, to = low, '(' .. score else from, to = '(' .. score, high end
  local found = read('ZCOUNT', source.minus, from, to) or 0
  local same = read('ZCOUNT', source.minus, score, score) or 0
  -- of the members with the same score, those whose ids do not come later
  local first = source.rising and (read('ZCOUNT', source.minus, '-inf', '(' .. score) or 0)
    or (read('ZCOUNT', source.minus, '(' .. score, '+inf') or 0)
  local a, b = 0, same
  while a < b do
    local middle = math.floor((a + b) / 2)
    local id = range_of(source, source.minus, first + middle, first + middle)[1] or ''
    local comes_later
    if source.rising then comes_later = id > last[1] else comes_later = id < last[1] end
    if comes_later then b = middle else a = middle + 1 end
  end
  return left + found + a
end

-- The rank in a source after `position` jobs that are not excluded.
local function rank_of(source, position)
  if position == 0 or not source.minus and not source.left then return position end
  local low, high = position, source.gross
  while low < high do
    local middle = math.floor((low + high) / 2)
    if middle - left_out(source, middle) >= position then high = middle else low = middle + 1 end
  end
  return low
end

-- Append the jobs of a source between two positions to a list of {place, source, number, id}; `rank` is that
-- of the first, if known.
local function collect(source, number, from, rank, to, list)
  local needed, chunks = to - from, 0
  rank = rank or rank_of(source, from)
  while needed > 0 and rank < source.gross and chunks < 50 do
    local last = math.min(source.gross, rank + needed + (source.minus and 20 or 0)) - 1
    local found = range_of(source, source.key, source.base + rank, source.base + last, true)
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
    -- skip long ranges of excluded members
    if kept == 0 then rank = math.max(rank, rank_of(source, to - needed)) end
  end
end

local function comes_before(one, other)
  for i = 1, 3 do
    if one[i] ~= other[i] then return one[i] < other[i] end
  end
  return false
end

-- The jobs of a segment from one position to another, as lists of {place, source, number, id}.
local function jobs_of(segment, first, last)
  if first >= last then return {} end
  local from, ranks, to, heads, list = {}, {}, nil, {}, {}
  if first > 0 then from, ranks = positions_in(segment, first) end
  if math.min(#segment, last - first) * (last - first) > 2500 then
    to = positions_in(segment, last)
    for i in ipairs(segment) do heads[i] = {0, i} end
  else
    -- a source does not contribute if the first jobs of enough other sources come before its first
    for i, source in ipairs(segment) do
      local begins = from[i] or 0
      if begins < source.size then collect(source, i, begins, ranks[i], begins + 1, heads) end
    end
    table.sort(heads, comes_before)
  end
  for h = 1, math.min(#heads, to and #heads or last - first) do
    local i = heads[h][2]
    local begins = from[i] or 0
    local ends = to and to[i] or math.min(segment[i].size, begins + last - first)
    collect(segment[i], i, begins, ranks[i], ends, list)
  end
  table.sort(list, comes_before)
  for i = #list, last - first + 1, -1 do list[i] = nil end
  return list
end
