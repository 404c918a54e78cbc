-- Record one event with its deliveries, once.
-- KEYS[1] the event's hash   KEYS[2] its dedup key, or the event's hash again where it has none
-- ARGV    event id · state · source · dedup window in ms (0: none) · how many of this state to keep (0: all)
--         number of deliveries · count · field, value, ... of the event
--         then each delivery (see `create` in common.lua)
-- Returns {event id, state, delivery ids as JSON, 0 or 1: seen before}

local function receipt(id, seen)
  local kept = redis.call('HMGET', KEY.event .. id, 'state', 'deliveries')
  return {id, kept[1], kept[2], seen}
end

local id, state, source = ARGV[1], ARGV[2], ARGV[3]
local window, cap, deliveries = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

-- The same command again after a lost answer: it has been done.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return receipt(id, 0)
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

local count = tonumber(ARGV[7])
local at = 8 + count
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

if cap > 0 then
  -- Events that anybody can cause without proof must not fill the record.
  local over = redis.call('ZCARD', KEY.events_by_state .. state) - cap
  if over > 0 then
    for _, old in ipairs(redis.call('ZRANGE', KEY.events_by_state .. state, 0, over - 1)) do
      local of = redis.call('HGET', KEY.event .. old, 'source')
      redis.call('DEL', KEY.event .. old)
      redis.call('ZREM', KEY.events, old)
      redis.call('ZREM', KEY.events_by_state .. state, old)
      if of then redis.call('ZREM', KEY.events_by_source .. of, old) end
    end
  end
end

return receipt(id, 0)
