-- Give a job tags, and a group.
-- ARGV: channel, id, the record of a waiting job (JSON text) with its tags and its group, "enqueued" if
-- it was enqueued a moment ago, so that only arq knows when, or else "known", queues...
-- Answer: 1, or 0 where there is neither a live job nor a record, -1 where it has too many tags.
local id, waiting, was_enqueued = ARGV[2], record_of(ARGV[3]), ARGV[4] == 'enqueued'
local old_raw = read('GET', K.record .. id)
local old, raw, run = record_of(old_raw), ARGV[3], waiting[F.enqueued_ms]
local function is_there() return is_live(id, queues_from(5)) end

if was_enqueued then
  run = enqueue_time_in(read('GETRANGE', K.arq_job .. id, -32, -1))
    or enqueue_time_in(read('GETRANGE', K.arq_result .. id, 0, 255)) or 0
  local updated = now_ms() - run
  waiting[F.enqueued_ms], waiting[F.updated] = run, updated
  raw = string.gsub(raw, '^{"' .. F.enqueued_ms .. '":0', '{"' .. F.enqueued_ms .. '":' .. integer(run))
  raw = string.gsub(raw, ',"' .. F.updated .. '":0', ',"' .. F.updated .. '":' .. integer(updated), 1)
end

local old_run = old and number(old[F.enqueued_ms])
-- a payload that does not tell its run waits for another one than that which ended
local is_earlier = old and has_ended(old) and run == 0
    and redis.call('EXISTS', K.arq_job .. id) == 1 and redis.call('EXISTS', K.arq_in_progress .. id) == 0
local known = old and not is_earlier and old[F.state] ~= S.deleted
    and (old_run == run or old_run == 0 or run == 0)

local new, ended_set = waiting, nil
if known then
  local tags, group = all_tags(old, waiting), text(old[F.group]) or waiting[F.group]
  if not was_enqueued and #tags > tonumber(K.most_tags) then return -1 end
  new = record_of(old_raw)
  raw = with_labels(new, old_raw, tags, group)
  if raw == old_raw then return 1 end
  ended_set = put(id, raw, new, old)
else
  local has_result = was_enqueued and redis.call('EXISTS', K.arq_result .. id) == 1
  if not has_result and not is_there() then return 0 end
  drop_belongings(id)
  put(id, raw, waiting, old)
end
if ended_set then write('SADD', K.ended_sets, ended_set) end
publish(ARGV[1], subjects_of(id, new))
return 1
