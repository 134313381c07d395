-- Values, and commands that take no notice of damage.
--
-- The files of this folder are what the scripts share: each gets the functions that it uses. `K.name` stands
-- for a key or a limit, `F.name` for the letter of a stored record's field, `S.name` for a state.

local function number(value)
  -- what is beyond is damage: infinities, NaN
  return type(value) == 'number' and math.abs(value) < 1e15 and value or 0
end

local function integer(value)
  return string.format('%.0f', value)
end

local function text(value, default)
  return type(value) == 'string' and value or default
end

-- Like `redis.call`, but an error, as of a key of the wrong type, reads as nil.
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
  -- rounded as arq rounds the times at which jobs are due
  return time[1] * 1000 + math.floor(time[2] / 1000 + 0.5)
end

-- Tell subscribers which jobs changed. A user without the permission loses only that.
local function publish(channel, ids)
  if #ids > 0 then redis.pcall('PUBLISH', channel, cjson.encode(ids)) end
end
