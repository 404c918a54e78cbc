-- Walk an index from the newest id on, and keep the ids that stand in every other one too.
-- KEYS[1] the index that is walked   KEYS[2..] indexes in which an id must stand as well
-- ARGV    newest bound · oldest bound · how many are wanted · how many may be looked at
--         how many of the last KEYS hold ids of the other kind: events, where the index that is walked holds deliveries
--         the kind that is walked: events, deliveries
-- Returns {the id where it ended, or '' at the end of the index; how many were looked at; id, ...}

local newest, oldest, wanted, budget = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local own, kind = #KEYS - tonumber(ARGV[5]), ARGV[6]
local found = {'', 0}

local function stands(id, first, last)
  for i = first, last do
    if not redis.call('ZSCORE', KEYS[i], id) then return false end
  end
  return true
end

local function holds(id)
  if not stands(id, 2, own) then return false end
  if own == #KEYS then return true end
  if kind == 'deliveries' then
    local event = redis.call('HGET', KEY.delivery .. id, 'event_id')
    return event and stands(event, own + 1, #KEYS)
  end
  for _, delivery in ipairs(cjson.decode(redis.call('HGET', KEY.event .. id, 'deliveries') or '[]')) do
    if stands(delivery, own + 1, #KEYS) then return true end
  end
  return false
end

while budget > 0 do
  local step = math.min(budget, #KEYS == 1 and wanted or 500)
  local ids = redis.call('ZRANGE', KEYS[1], newest, oldest, 'BYLEX', 'REV', 'LIMIT', 0, step)
  for i, id in ipairs(ids) do
    if holds(id) then
      found[#found + 1] = id
      if #found == wanted + 2 then
        found[1], found[2] = id, found[2] + i
        return found
      end
    end
  end
  found[2] = found[2] + #ids
  if #ids < step then
    found[1] = ''
    return found
  end
  found[1] = ids[#ids]
  newest = '(' .. found[1]
  budget = budget - #ids
end
return found
