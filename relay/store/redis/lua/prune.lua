#!lua flags=allow-oom
-- Forget an event with its deliveries, if every one of them is final.
-- KEYS[1] the event's hash   ARGV  event id · '', or the id above which a delivery is too young to be forgotten
-- Returns how many deliveries were forgotten, or -1 where one is still alive, or too young.

local id = ARGV[1]
local kept = redis.call('HMGET', KEYS[1], 'state', 'source', 'deliveries', 'marks')
if not kept[1] then
  redis.call('ZREM', KEY.events, id)
  return 0
end
local deliveries = cjson.decode(kept[3] or '[]')
for _, delivery in ipairs(deliveries) do
  local state = redis.call('HGET', KEY.delivery .. delivery, 'state')
  if state and state ~= 'started' and state ~= 'dead' then return -1 end
  if ARGV[2] ~= '' and delivery > ARGV[2] then return -1 end
end

local function forget(delivery)
  local key = KEY.delivery .. delivery
  local was = redis.call('HMGET', key, 'state', 'rule', 'workflow_id', 'address_digest', 'document', 'portal', 'comment')
  if was[1] then
    leave_state(KEY.deliveries_by_state, was[1], delivery)
    stand('rule:' .. was[2], -1)
  end
  if was[3] and was[3] ~= '' then redis.call('HDEL', KEY.workflows, was[3]) end
  if was[4] then redis.call('HDEL', KEY.addresses, was[4]) end
  if was[5] then redis.call('ZREM', KEY.deliveries_by_document .. was[5], delivery) end
  if was[7] == 'waiting' then redis.call('ZREM', KEY.comments .. was[6], delivery) end
  for _, index in ipairs({KEY.deliveries, KEY.buried, KEY.awaited, KEY.overdue}) do
    redis.call('ZREM', index, delivery)
  end
  redis.call('DEL', key, KEY.attempts .. delivery)
end

-- Periods before the oldest event on record are empty.
local function forget_periods()
  local oldest = redis.call('ZRANGE', KEY.events, 0, 0)[1]
  if oldest and period_of(oldest) <= period_of(id) then return end
  for _, index in ipairs(redis.call('SMEMBERS', KEY.facets)) do
    redis.call('ZREMRANGEBYLEX', index, '-', oldest and '(' .. period_of(oldest) or '+')
    if redis.call('EXISTS', index) == 0 then redis.call('SREM', KEY.facets, index) end
  end
end

for _, delivery in ipairs(deliveries) do forget(delivery) end
for _, mark in ipairs(cjson.decode(kept[4] or '[]')) do
  redis.call('ZREM', KEY.person_index .. mark, id)
end
redis.call('ZREM', KEY.events, id)
redis.call('ZREM', KEY.unmended, id)
if redis.call('HGET', KEY.counters, 'source:' .. kept[2]) == '1' then
  redis.call('HSET', KEY.last_heard, kept[2], string.format('%.0f', time_of(id)))
end
leave_state(KEY.events_by_state, kept[1], id)
stand('source:' .. kept[2], -1)
redis.call('DEL', KEYS[1])
forget_periods()
write_counts()
return #deliveries
