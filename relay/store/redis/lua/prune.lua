-- Forget an event with its deliveries, if every one of them is final.
-- KEYS[1] the event's hash   ARGV  event id · '', or the id above which a delivery is too young to be forgotten
-- Returns how many deliveries were forgotten, or -1 where one is still alive, or too young.

local id = ARGV[1]
local kept = redis.call('HMGET', KEYS[1], 'state', 'source', 'deliveries', 'marks')
if not kept[1] then
  redis.call('ZREM', KEY.events, id)
  return 0
end
local deliveries = cjson.decode(kept[3])
for _, delivery in ipairs(deliveries) do
  local state = redis.call('HGET', KEY.delivery .. delivery, 'state')
  if state and state ~= 'started' and state ~= 'dead' then return -1 end
  if ARGV[2] ~= '' and delivery > ARGV[2] then return -1 end
end
for _, delivery in ipairs(deliveries) do
  local was = redis.call('HMGET', KEY.delivery .. delivery, 'state', 'workflow_id', 'address_digest')
  if was[1] then redis.call('ZREM', KEY.deliveries_by_state .. was[1], delivery) end
  if was[2] and was[2] ~= '' then redis.call('HDEL', KEY.workflows, was[2]) end
  redis.call('ZREM', KEY.deliveries, delivery)
  if was[3] then redis.call('HDEL', KEY.addresses, was[3]) end
  for _, key in ipairs({KEY.buried, KEY.awaited, KEY.overdue}) do redis.call('ZREM', key, delivery) end
  index(delivery, 'ZREM')
  redis.call('DEL', KEY.delivery .. delivery, KEY.attempts .. delivery)
end
for _, mark in ipairs(cjson.decode(kept[4])) do
  redis.call('ZREM', KEY.marks .. mark, id)
end
redis.call('ZREM', KEY.events, id)
redis.call('ZREM', KEY.events_by_state .. kept[1], id)
redis.call('ZREM', KEY.events_by_source .. kept[2], id)
redis.call('DEL', KEYS[1])
return #deliveries
