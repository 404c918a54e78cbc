-- Put an event back on record that was forgotten, with its deliveries, which are all final.
-- KEYS[1] the event's hash
-- ARGV    event id · count · field, value, ... · number of deliveries, then each:
--         id · the delivery that has replayed it, or '' · count · field, value, ... · number of attempts · attempt, ...
-- Returns 1, or 0 where it is on record. It was counted when it came (ledger, tallies), and is not counted again.

if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local id = ARGV[1]
local last = 2 + tonumber(ARGV[2])
local event = by_name(ARGV, 3, last)
redis.call('HSET', KEYS[1], unpack(ARGV, 3, last))
redis.call('ZADD', KEY.events, 0, id)
redis.call('ZADD', KEY.events_by_state .. event.state, 0, id)
redis.call('ZADD', KEY.events_by_source .. event.source, 0, id)
for _, mark in ipairs(cjson.decode(event.marks)) do redis.call('ZADD', KEY.marks .. mark, 0, id) end

local at = last + 2
for _ = 1, tonumber(ARGV[last + 1]) do
  local delivery, replayed_by = ARGV[at], ARGV[at + 1]
  local key = KEY.delivery .. delivery
  local first, last_field = at + 3, at + 2 + tonumber(ARGV[at + 2])
  local fields = by_name(ARGV, first, last_field)
  redis.call('HSET', key, unpack(ARGV, first, last_field))
  if replayed_by ~= '' then redis.call('HSET', key, 'replayed_by', replayed_by) end
  redis.call('ZADD', KEY.deliveries, 0, delivery)
  redis.call('ZADD', KEY.deliveries_by_state .. fields.state, 0, delivery)
  index(delivery, 'ZADD')
  if fields.workflow_id ~= '' then redis.call('HSETNX', KEY.workflows, fields.workflow_id, delivery) end
  if fields.address_digest then redis.call('HSETNX', KEY.addresses, fields.address_digest, delivery) end
  at = last_field + 2
  for _ = 1, tonumber(ARGV[last_field + 1]) do
    redis.call('RPUSH', KEY.attempts .. delivery, ARGV[at])
    at = at + 1
  end
end
return 1
