-- Values, and commands that tolerate damage.
--
-- The scripts share the functions in this folder: each gets those that it uses. `K.name` is a key or a limit,
-- `F.name` the letter of a field of a stored record, `S.name` a state.

local function number(value)
  -- anything else is damage, such as infinities and NaN
  return type(value) == 'number' and math.abs(value) < 1e15 and value or 0
end

local function integer(value)
  return string.format('%.0f', value)
end

local function text(value, default)
  return type(value) == 'string' and value or default
end

-- Like `redis.call`, but returns false on an error, such as a key of the wrong type.
local function read(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then return false end
  return reply
end

-- Like `redis.call`, but replaces a key of the wrong type.
local function write(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'WRONGTYPE', 1, true) then error(reply.err, 0) end
    redis.call('DEL', key)
    return redis.call(command, key, ...)
  end
  return reply
end

local function now_ms()
  local time = redis.call('TIME')
  -- rounded like the due times of arq
  return time[1] * 1000 + math.floor(time[2] / 1000 + 0.5)
end

-- Publish which jobs changed. If the user lacks the permission, only that is skipped.
local function publish(channel, ids)
  if #ids > 0 then redis.pcall('PUBLISH', channel, cjson.encode(ids)) end
end
