-- A stretch of the jobs in several indexes, merged in the order of their scores, newest first.
-- ARGV: JSON {sources: [{key, min, max, skipped: [scores]}], others: [scores], offset, count}.
-- `skipped` are members that do not count there; `others` are jobs that the caller merges in himself.
-- Answers {highest score of the stretch, jobs to skip at its beginning, {id, score, id, score, ...}}:
-- of each source as many as the stretch may need.
local spec = cjson.decode(ARGV[1])

-- How many of the ascending scores are above a limit.
local function above(scores, limit)
  local low, high = 1, #scores + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if scores[middle] > limit then high = middle else low = middle + 1 end
  end
  return #scores - low + 1
end

local function count_above(limit)
  local total = above(spec.others, limit)
  local from = '(' .. integer(limit)
  for _, source in ipairs(spec.sources) do
    if tonumber(source.max) == nil or limit < tonumber(source.max) then
      local low = from
      if tonumber(source.min) and limit < tonumber(source.min) then low = source.min end
      total = total + (read('ZCOUNT', source.key, low, source.max) or 0) - above(source.skipped, limit)
    end
  end
  return total
end

local lowest, highest
local function span(score)
  -- beyond are only damaged ones, between which the search below would find no end
  score = math.min(math.max(tonumber(score), -1), 1e15)
  if not lowest or score < lowest then lowest = score end
  if not highest or score > highest then highest = score end
end
for _, source in ipairs(spec.sources) do
  local first = read('ZRANGEBYSCORE', source.key, source.min, source.max, 'WITHSCORES', 'LIMIT', 0, 1) or {}
  local last = read('ZREVRANGEBYSCORE', source.key, source.max, source.min, 'WITHSCORES', 'LIMIT', 0, 1) or {}
  if first[2] then span(first[2]) end
  if last[2] then span(last[2]) end
end
if #spec.others > 0 then
  span(spec.others[1])
  span(spec.others[#spec.others])
end
if not lowest then return {'0', 0, {}} end

-- The lowest score with no more jobs above it than the stretch leaves out.
local low, high = math.floor(lowest) - 1, math.ceil(highest)
while low < high do
  local middle = math.floor((low + high) / 2)
  if count_above(middle) <= spec.offset then high = middle else low = middle + 1 end
end
local skip = math.max(0, spec.offset - count_above(high))
local jobs = {}
for _, source in ipairs(spec.sources) do
  local max = source.max
  if tonumber(max) == nil or high < tonumber(max) then max = integer(high) end
  local found = read('ZREVRANGEBYSCORE', source.key, max, source.min, 'WITHSCORES',
    'LIMIT', 0, skip + spec.count + #source.skipped) or {}
  for i = 1, #found do jobs[#jobs + 1] = found[i] end
end
return {integer(high), skip, jobs}
