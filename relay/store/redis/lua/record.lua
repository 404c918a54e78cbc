-- Record one event with its deliveries, once.
-- KEYS[1] the event's hash   KEYS[2] its dedup key, or the event's hash again where it has none
-- ARGV    event id · state · source · dedup window in ms (0: none) · bounds as JSON (see unproven.py)
--         number of deliveries · count · field, value, ... of the event
--         then each delivery (see `create` in common.lua)
-- Returns {event id, state, delivery ids as JSON, 0 or 1: seen before}, or an error `LIMITED seconds`: nothing was done

local function receipt(id, seen)
  local kept = redis.call('HMGET', KEY.event .. id, 'state', 'deliveries')
  return {id, kept[1], kept[2], seen}
end

local id, state, source = ARGV[1], ARGV[2], ARGV[3]
local window, bounds, deliveries = tonumber(ARGV[4]), cjson.decode(ARGV[5]), tonumber(ARGV[6])

-- The same command again after a lost answer: it has been done.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return receipt(id, 0)
end

local count = tonumber(ARGV[7])
local at = 8 + count
local size = 0
for i = 8, at - 1 do size = size + #ARGV[i] end

-- A source has a pace. A repeat of what stands under its dedup key adds nothing, and is told so.
if bounds.events > 0 and redis.call('EXISTS', KEYS[2]) == 0 then
  local now = tonumber(redis.call('TIME')[1])
  local kind = state == 'refused' and ':refused:' or ':'
  local key = KEY.spent .. source .. kind .. math.floor(now / 60)
  local spent = redis.call('HMGET', key, 'events', 'bytes')
  if tonumber(spent[1] or 0) >= bounds.events or tonumber(spent[2] or 0) >= bounds.bytes then
    return redis.error_reply('LIMITED ' .. 60 - now % 60)
  end
  redis.call('HINCRBY', key, 'events', 1)
  redis.call('HINCRBY', key, 'bytes', size)
  redis.call('EXPIRE', key, 120)
end

if window > 0 and not redis.call('SET', KEYS[2], id, 'NX', 'PX', window) then
  local first = redis.call('GET', KEYS[2])
  if redis.call('EXISTS', KEY.event .. first) == 1 then
    redis.call('HINCRBY', KEY.event .. first, 'duplicates', 1)
    redis.call('HINCRBY', KEY.ledger, 'event:duplicate', 1)
    tally('event:duplicate', 1)
    return receipt(first, 1)
  end
  -- The first one was pruned before its window ended: this one takes its place.
  redis.call('SET', KEYS[2], id, 'PX', window)
end

redis.call('HSET', KEYS[1], unpack(ARGV, 8, at - 1))
redis.call('ZADD', KEY.events, 0, id)
redis.call('ZADD', KEY.events_by_state .. state, 0, id)
redis.call('ZADD', KEY.events_by_source .. source, 0, id)
redis.call('HINCRBY', KEY.ledger, 'event:' .. state, 1)
tally('event:' .. state, 1)
tally('source:' .. source .. ':' .. state, 1)
for _, mark in ipairs(cjson.decode(redis.call('HGET', KEYS[1], 'marks'))) do
  redis.call('ZADD', KEY.marks .. mark, 0, id)
end

for _ = 1, deliveries do
  at = create(ARGV, at)
end

-- What anybody can cause without proof must not fill the record: the oldest of the same source make room, but never one
-- that has deliveries since.
if bounds.kept > 0 then
  local queue = KEY.unproven .. source
  local kept = redis.call('RPUSH', queue, size .. ' ' .. id)
  local held = redis.call('HINCRBY', KEY.unproven_bytes, source, size)
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

return receipt(id, 0)
