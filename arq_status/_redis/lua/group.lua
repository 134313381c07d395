-- Open or close a group.
-- ARGV: channel, group, "open" or "close", title or "".
-- Returns: nothing.
local key = K.group .. ARGV[2]
write('HSET', key, 'closed', ARGV[3] == 'close' and 1 or 0, 'updated', integer(now_ms()))
if ARGV[4] ~= '' then redis.call('HSET', key, 'title', ARGV[4]) end
if (tonumber(redis.call('HGET', key, 'live')) or 0) <= 0 then
  -- without live jobs it is kept as long as jobs may still be enqueued or its record may be read
  local stays, now = tonumber(redis.call('HGET', key, 'until')) or 0, now_ms()
  local least = tonumber(ARGV[3] == 'open' and K.forgotten_after_ms or K.default_expires_ms)
  if ARGV[3] == 'open' or stays == 0 then stays = math.max(stays, now + least) end
  redis.call('PEXPIRE', key, integer(math.max(1, stays - now)))
end
publish(ARGV[1], {K.group_subject .. ARGV[2]})
