-- Record the events of one request with their deliveries, once: all of them, or none.
-- KEYS    for each event its hash, and its dedup key, or its hash again where it has none
-- ARGV    number of events, then each:
--         event id · state · source · dedup window in ms (0: none) · bounds as JSON (see unproven.py)
--         number of deliveries · count · field, value, ... of the event
--         then each delivery (see `create` in common.lua)
-- Returns for each {event id, state, delivery ids as JSON, 0 or 1: seen before}, or an error `LIMITED seconds`: nothing was
-- done. That it is one script is what makes it whole: a full server refuses what takes room only as its first write.

local function receipt(id, seen)
  local kept = redis.call('HMGET', KEY.event .. id, 'state', 'deliveries')
  return {id, kept[1], kept[2], seen}
end

-- One event as it stands in ARGV from this index. fields: the first and the last index of its fields and values.
local function entry_at(first, number)
  local last = first + 6 + tonumber(ARGV[first + 6])
  local entry = {
    key = KEYS[2 * number - 1], dedup = KEYS[2 * number], id = ARGV[first], state = ARGV[first + 1],
    source = ARGV[first + 2], window = tonumber(ARGV[first + 3]), bounds = cjson.decode(ARGV[first + 4]),
    deliveries = tonumber(ARGV[first + 5]), fields = {first + 7, last}, size = 0, following = last + 1,
  }
  for i = first + 7, last do entry.size = entry.size + #ARGV[i] end
  for _ = 1, entry.deliveries do
    entry.following = entry.following + 4 + tonumber(ARGV[entry.following + 3])
  end
  return entry
end

-- A source has a pace. A repeat of what stands under its dedup key adds nothing, and is told so. What comes in one request
-- is taken whole; what is more than a minute may have goes when nothing else has come in it.
local function limit(entries)
  local bounds, events, size = entries[1].bounds, 0, 0
  if bounds.events == 0 then return nil end
  for _, entry in ipairs(entries) do
    if redis.call('EXISTS', entry.dedup) == 0 then
      events = events + 1
      size = size + entry.size
    end
  end
  if events == 0 then return nil end
  local now = tonumber(redis.call('TIME')[1])
  local kind = entries[1].state == 'refused' and ':refused:' or ':'
  local key = KEY.spent .. entries[1].source .. kind .. math.floor(now / 60)
  local spent = redis.call('HMGET', key, 'events', 'bytes')
  local before = tonumber(spent[1] or 0)
  if (before > 0 and before + events > bounds.events) or tonumber(spent[2] or 0) >= bounds.bytes then
    return redis.error_reply('LIMITED ' .. 60 - now % 60)
  end
  redis.call('HINCRBY', key, 'events', events)
  redis.call('HINCRBY', key, 'bytes', size)
  redis.call('EXPIRE', key, 120)
  return nil
end

-- The id of the event that has claimed the dedup key of this one before it; nil where it is the first.
local function claim(entry)
  if entry.window == 0 or redis.call('SET', entry.dedup, entry.id, 'NX', 'PX', entry.window) then return nil end
  local first = redis.call('GET', entry.dedup)
  if redis.call('EXISTS', KEY.event .. first) == 1 then return first end
  -- The first one was pruned before its window ended: this one takes its place.
  redis.call('SET', entry.dedup, entry.id, 'PX', entry.window)
  return nil
end

-- What anybody can cause without proof must not fill the record: the oldest of the same source make room, but never one
-- that has deliveries since.
local function make_room(entry)
  local source, bounds = entry.source, entry.bounds
  local queue = KEY.unproven .. source
  local kept = redis.call('RPUSH', queue, entry.size .. ' ' .. entry.id)
  local held = redis.call('HINCRBY', KEY.unproven_bytes, source, entry.size)
  while kept > bounds.kept or (held > bounds.kept_bytes and kept > 1) do
    local old_size, old = string.match(redis.call('LPOP', queue), '^(%d+) (.+)$')
    kept = kept - 1
    held = redis.call('HINCRBY', KEY.unproven_bytes, source, -old_size)
    local was = redis.call('HMGET', KEY.event .. old, 'state', 'deliveries', 'marks')
    if was[1] and was[2] == '[]' then
      for _, mark in ipairs(cjson.decode(was[3])) do redis.call('ZREM', KEY.marks .. mark, old) end
      redis.call('DEL', KEY.event .. old)
      redis.call('ZREM', KEY.events, old)
      redis.call('ZREM', KEY.events_by_state .. was[1], old)
      redis.call('ZREM', KEY.events_by_source .. source, old)
    end
  end
end

local function record(entry)
  local fields = by_name(ARGV, entry.fields[1], entry.fields[2])
  local id, state, source = entry.id, entry.state, entry.source
  -- The same command again after a lost answer: it has been done.
  if redis.call('EXISTS', entry.key) == 1 then return receipt(id, 0) end
  local first = claim(entry)
  if first then
    redis.call('HINCRBY', KEY.event .. first, 'duplicates', 1)
    redis.call('HINCRBY', KEY.ledger, 'event:duplicate', 1)
    tally('event:duplicate', 1)
    return receipt(first, 1)
  end
  redis.call('HSET', entry.key, unpack(ARGV, entry.fields[1], entry.fields[2]))
  redis.call('ZADD', KEY.events, 0, id)
  redis.call('ZADD', KEY.events_by_state .. state, 0, id)
  redis.call('ZADD', KEY.events_by_source .. source, 0, id)
  redis.call('HINCRBY', KEY.ledger, 'event:' .. state, 1)
  tally('event:' .. state, 1)
  tally('source:' .. source .. ':' .. state, 1)
  for _, mark in ipairs(cjson.decode(fields.marks)) do redis.call('ZADD', KEY.marks .. mark, 0, id) end
  local at = entry.fields[2] + 1
  for _ = 1, entry.deliveries do at = create(ARGV, at) end
  if entry.bounds.kept > 0 then make_room(entry) end
  return {id, state, fields.deliveries, 0}
end

local entries, first = {}, 2
for number = 1, tonumber(ARGV[1]) do
  entries[number] = entry_at(first, number)
  first = entries[number].following
end
local refused = limit(entries)
if refused then return refused end
local receipts = {}
for number, entry in ipairs(entries) do receipts[number] = record(entry) end
return receipts
