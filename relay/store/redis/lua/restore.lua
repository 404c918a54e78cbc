-- Restore a forgotten event with its deliveries, which are all final.
-- KEYS[1] the event's hash
-- ARGV    event id · count · field, value, ... · number of deliveries, then each:
--         id · its replay, or '' · count · field, value, ... · number of attempts · attempt, ...
-- Returns 1, or 0 where it is on record. It was counted when it came, and is not counted again.

local refusal = refuse_when_full()
if refusal then return refusal end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end

-- Write a hash from ARGV, from the count of its fields and values on. Returns them by name, and the index after them.
local function write(key, first)
  local last, fields = first + tonumber(ARGV[first]), {}
  for i = first + 1, last, 2 do fields[ARGV[i]] = ARGV[i + 1] end
  redis.call('HSET', key, unpack(ARGV, first + 1, last))
  return fields, last + 1
end

local function restore_delivery(at)
  local id, replayed_by = ARGV[at], ARGV[at + 1]
  local key = KEY.delivery .. id
  local fields, following = write(key, at + 2)
  if replayed_by ~= '' then redis.call('HSET', key, 'replayed_by', replayed_by) end
  redis.call('ZADD', KEY.deliveries, 0, id)
  enter_state(KEY.deliveries_by_state, fields.state, id)
  stand('rule:' .. fields.rule, 1)
  for _, facet in ipairs({'rule', 'portal', 'template_id', 'reason'}) do note_delivery(id, facet, fields[facet]) end
  if fields.document then redis.call('ZADD', KEY.deliveries_by_document .. fields.document, 0, id) end
  if fields.workflow_id then redis.call('HSETNX', KEY.workflows, fields.workflow_id, id) end
  if fields.address_digest then redis.call('HSETNX', KEY.addresses, fields.address_digest, id) end
  local last = following + tonumber(ARGV[following])
  for i = following + 1, last do redis.call('RPUSH', KEY.attempts .. id, ARGV[i]) end
  return last + 1
end

local id = ARGV[1]
local event, at = write(KEYS[1], 2)
redis.call('ZADD', KEY.events, 0, id)
enter_state(KEY.events_by_state, event.state, id)
stand('source:' .. event.source, 1)
note(KEY.events_by_source .. event.source, id)
for _, mark in ipairs(cjson.decode(event.marks or '[]')) do redis.call('ZADD', KEY.person_index .. mark, 0, id) end
local number = tonumber(ARGV[at])
at = at + 1
for _ = 1, number do at = restore_delivery(at) end
write_counts()
return 1
