-- Add deliveries to an event, once: to one on record, or to a new one, which is recorded with them or not at all.
-- KEYS[1] the event's hash   KEYS[2] the deliveries of a bulk replay, if it is one
-- ARGV    event id · id of the replayed delivery, or '' for the whole event
--         count · field, value, ... of a new event; 0 where it is on record
--         number of required states · state, ... · number of marks · mark, ...
--         number of deliveries · delivery (see common.lua), ...
-- Returns 1, 0 where it was replayed before, or -1 where it is in another state. Sent again after a lost answer, it finds
-- its own deliveries and returns 1.

local refusal = refuse_when_full()
if refusal then return refusal end

local event, old = ARGV[1], ARGV[2]
local flat, new = {}, {}
local first = put_further(flat, 3, new) + 1
local at = first + tonumber(ARGV[first - 1])
local subject = old ~= '' and KEY.delivery .. old or KEYS[1]
local kept = redis.call('HMGET', subject, 'state', 'replayed_by')
local legal = false
for i = first, at - 1 do legal = legal or ARGV[i] == kept[1] end
if kept[2] and kept[2] ~= '' then
  for i = at + 1, #ARGV do
    if ARGV[i] == kept[2] then return 1 end
  end
  return 0
end
if not legal then return -1 end
if #flat > 0 then create_event(event, new.state, new.source, flat) end

local marks, has = cjson.decode(redis.call('HGET', KEYS[1], 'marks') or '[]'), {}
for _, mark in ipairs(marks) do has[mark] = true end
for i = at + 1, at + tonumber(ARGV[at]) do
  redis.call('ZADD', KEY.person_index .. ARGV[i], 0, event)
  if not has[ARGV[i]] then marks[#marks + 1] = ARGV[i] end
end
if #marks > 0 then redis.call('HSET', KEYS[1], 'marks', cjson.encode(marks)) end
at = at + 1 + tonumber(ARGV[at])

local made = cjson.decode(redis.call('HGET', KEYS[1], 'deliveries') or '[]')
local source = redis.call('HGET', KEYS[1], 'source')
local last = tonumber(ARGV[at])
at = at + 1
for _ = 1, last do
  made[#made + 1] = ARGV[at]
  redis.call('HSET', subject, 'replayed_by', ARGV[at])
  if KEYS[2] then redis.call('ZADD', KEYS[2], 0, ARGV[at]) end
  at = create(at, source)
end
redis.call('HSET', KEYS[1], 'deliveries', cjson.encode(made))
redis.call('ZREM', KEY.buried, old)
leave_overdue(old)

local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'accepted' then
  redis.call('HSET', KEYS[1], 'state', 'accepted')
  redis.call('HDEL', KEYS[1], 'reason', 'errors', 'fault')
  redis.call('ZREM', KEY.unmended, event)
  leave_state(KEY.events_by_state, state, event)
  enter_state(KEY.events_by_state, 'accepted', event)
end
finish_creating()
write_counts()
return 1
