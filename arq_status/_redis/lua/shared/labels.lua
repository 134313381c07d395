-- Labels: the tags of a job and its group.

local function has_labels(record)
  return record[F.tags] ~= nil or record[F.group] ~= nil
end

-- The suffixes of the indexes that hold a record's job by its tags and its group.
local function labels_of(record)
  local labels, tags = {}, record[F.tags]
  for _, tag in ipairs(type(tags) == 'table' and tags or {}) do
    if type(tag) == 'string' then labels[#labels + 1] = K.tagged .. tag end
  end
  if type(record[F.group]) == 'string' then labels[#labels + 1] = K.grouped .. record[F.group] end
  return labels
end

-- A list of strings as JSON.
local function json_list(texts)
  -- slashes are not escaped, as in JSON written by Python
  return (string.gsub(cjson.encode(texts), '\\/', '/'))
end

-- The tags of two records of a run, without duplicates.
local function all_tags(first, second)
  local tags, seen = {}, {}
  for _, record in ipairs({first, second}) do
    for _, tag in ipairs(type(record[F.tags]) == 'table' and record[F.tags] or {}) do
      if type(tag) == 'string' and not seen[tag] then
        seen[tag] = true
        tags[#tags + 1] = tag
      end
    end
  end
  return tags
end

-- The end of a record's JSON with its tags and its group.
local function labels_text(record)
  local tags, group, written = record[F.tags], text(record[F.group]), ''
  if type(tags) == 'table' and #tags > 0 then written = ',"' .. F.tags .. '":' .. json_list(tags) end
  if not group then return written end
  return written .. ',"' .. F.group .. '":' .. string.sub(json_list({group}), 2, -2)
end

-- Set the tags and the group of a record; returns its JSON with them.
local function with_labels(record, raw, tags, group)
  local before = labels_text(record) .. '}'
  for i = tonumber(K.most_tags) + 1, #tags do tags[i] = nil end
  record[F.tags], record[F.group] = #tags > 0 and tags or nil, group
  local rest = string.sub(raw, 1, -2)
  if string.sub(raw, -#before) == before then rest = string.sub(raw, 1, -#before - 1) end
  -- if the JSON has some in another spelling, the last ones count
  return rest .. labels_text(record) .. '}'
end
