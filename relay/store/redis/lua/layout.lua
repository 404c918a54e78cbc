#!lua flags=allow-oom
-- Change events or deliveries from the second layout to the third: fields that scripts need stay, the others move into
-- one, and defaults go (store/record/codec.py).
-- ARGV    events or deliveries · id, ...
-- Returns the number of changed ones. Running it twice is safe: one without a field `id` was changed before.

-- `facts` as JSON: a name and a text that is JSON already, where there is one.
local function facts_of(parts)
  local members = {}
  for i = 1, #parts, 2 do
    if parts[i + 1] then members[#members + 1] = '"' .. parts[i] .. '":' .. parts[i + 1] end
  end
  return '{' .. table.concat(members, ',') .. '}'
end

local function text(value, usual)
  return value and value ~= '' and value ~= usual and cjson.encode(value)
end

local function json(value)
  return value and value ~= '' and value
end

local function time(value, id)
  return value and tonumber(value) ~= time_of(id) and value
end

-- Write the facts, and take out what stands in them and what is as usual.
local function replace(key, facts, in_facts, usual)
  if facts ~= '{}' then redis.call('HSET', key, 'facts', facts) end
  local gone = {'id', unpack(in_facts)}
  for name, value in pairs(usual) do
    local kept = redis.call('HGET', key, name)
    if kept == value or kept == '' then gone[#gone + 1] = name end
  end
  redis.call('HDEL', key, unpack(gone))
end

local EVENT = {'received_at', 'method', 'content_type', 'query', 'headers', 'envelope'}
local function lay_out_event(id)
  local key = KEY.event .. id
  local was = redis.call('HMGET', key, unpack(EVENT))
  local facts = facts_of({
    'content_type', cjson.encode(was[3] or ''), 'headers', json(was[5]) or '{}', 'query', text(was[4]),
    'method', text(was[2], 'POST'), 'envelope', text(was[6]), 'received_at', time(was[1], id),
  })
  replace(key, facts, EVENT, {deliveries = '[]', marks = '[]', errors = '{}', reason = '', duplicates = '0'})
  note(KEY.events_by_source .. redis.call('HGET', key, 'source'), id)
end

local DELIVERY = {'created_at', 'replay_of', 'on_uncertain', 'plan', 'watch', 'address'}
local function lay_out_delivery(id)
  local key = KEY.delivery .. id
  local was = redis.call('HMGET', key, unpack(DELIVERY))
  local facts = facts_of({
    'replay_of', text(was[2]), 'on_uncertain', text(was[3], 'hold'), 'plan', json(was[4]), 'watch', json(was[5]),
    'address', text(was[6]), 'created_at', time(was[1], id),
  })
  replace(key, facts, DELIVERY, {
    next_attempt_at = '', workflow_id = '', reason = '', order_key = '', template_id = '', method = '', unsure = '',
    results = '[]', looks = '0', attempts = '0', goes_alone = '0', asked = '0',
  })
  local facets = redis.call('HMGET', key, 'rule', 'portal', 'template_id', 'reason')
  for i, facet in ipairs({'rule', 'portal', 'template_id', 'reason'}) do note_delivery(id, facet, facets[i]) end
end

local laid_out = 0
for i = 2, #ARGV do
  local id = ARGV[i]
  local is_event = ARGV[1] == 'events'
  if redis.call('HEXISTS', (is_event and KEY.event or KEY.delivery) .. id, 'id') == 1 then
    if is_event then lay_out_event(id) else lay_out_delivery(id) end
    laid_out = laid_out + 1
  end
end
return laid_out
