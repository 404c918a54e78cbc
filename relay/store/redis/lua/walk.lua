#!lua flags=no-writes
-- Walk an index of ids from the newest on, and keep the ids that satisfy all conditions.
-- KEYS[1] the walked index; then of its own kind: further indexes of ids, indexes of periods (see `note` in common.lua);
--         then of the other kind: indexes that must hold the delivery's event, or one of the event's deliveries
-- ARGV    newest bound · oldest bound · ids wanted · ids that may be looked at
--         the walked kind: events, deliveries · number of own indexes · number of periods
--         number of own fields · field, value, ... · field, value, ... of the other kind; '' means an absent field
-- Returns {the id where it ended, or '' at the end of the index; number of ids looked at; id, ...}. Between two periods it
-- ends at the last possible id of the next one.

local newest, oldest, wanted, budget = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local of_deliveries = ARGV[5] == 'deliveries'
local last_own = 1 + tonumber(ARGV[6])
local last_period = last_own + tonumber(ARGV[7])
local last_field = 8 + 2 * tonumber(ARGV[8])
local prefix, own, other = 'evt_', KEY.event, KEY.delivery
if of_deliveries then prefix, own, other = 'dlv_', KEY.delivery, KEY.event end
local found = {'', 0}

local function conditions(first, last, link)
  local names, values = {}, {}
  for i = first, last, 2 do names[#names + 1], values[#values + 1] = ARGV[i], ARGV[i + 1] end
  names[#names + 1] = link
  return {names = names, values = values}
end
local of_own = conditions(9, last_field, of_deliveries and 'event_id' or 'deliveries')
local of_other = conditions(last_field + 1, #ARGV, 'state')
local has_other = #of_other.values > 0 or last_period < #KEYS

local function stands(id, first, last)
  for i = first, last do
    if not redis.call('ZSCORE', KEYS[i], id) then return false end
  end
  return true
end

-- Whether a hash has the required fields, and the ids of the other kind in it.
local function agrees(key, wanted_of)
  local kept = redis.call('HMGET', key, unpack(wanted_of.names))
  for i, value in ipairs(wanted_of.values) do
    if (kept[i] or '') ~= value then return false end
  end
  return true, kept[#wanted_of.names]
end

local function other_holds(id)
  return stands(id, last_period + 1, #KEYS) and (#of_other.values == 0 or agrees(other .. id, of_other))
end

local function holds(id)
  if not stands(id, 2, last_own) then return false end
  if #of_own.values == 0 and not has_other then return true end
  local is_wanted, link = agrees(own .. id, of_own)
  if not is_wanted or not has_other then return is_wanted end
  if of_deliveries then return link and other_holds(link) end
  for _, delivery in ipairs(cjson.decode(link or '[]')) do
    if other_holds(delivery) then return true end
  end
  return false
end

-- The newest period, up to this one, that is in every index of periods; nil where there is none.
local function common_period(period)
  local i = last_own + 1
  while i <= last_period and budget > 0 do
    local has = redis.call('ZRANGE', KEYS[i], '[' .. period, '-', 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
    if not has then return nil end
    if has == period then
      i = i + 1
    else
      period, i, budget, found[2] = has, last_own + 1, budget - 1, found[2] + 1
    end
  end
  return period
end

-- The lower end of the next stretch with possible ids: of a period in every index, if there are such indexes; nil at the
-- end. If the newest id is not in such a period, `newest` moves to its upper end.
local function next_bound()
  if last_period == last_own then return oldest end
  local id = redis.call('ZRANGE', KEYS[1], newest, oldest, 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
  local period = id and common_period(period_of(id))
  if not period then return nil end
  if period < period_of(id) then
    found[1] = prefix .. period .. string.rep('z', 19)
    newest = '(' .. found[1]
  end
  local bound = '[' .. prefix .. period
  return (oldest ~= '-' and oldest > bound) and oldest or bound
end

while budget > 0 do
  local bound = next_bound()
  if not bound then
    found[1] = ''
    return found
  end
  local step = math.min(budget, (last_own == 1 and #of_own.values == 0 and not has_other) and wanted or 500)
  local ids = step > 0 and redis.call('ZRANGE', KEYS[1], newest, bound, 'BYLEX', 'REV', 'LIMIT', 0, step) or {}
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
  budget = budget - #ids
  if #ids > 0 then
    found[1] = ids[#ids]
    newest = '(' .. found[1]
  end
  if #ids < step then
    if bound == oldest then
      found[1] = ''
      return found
    end
    newest = '(' .. string.sub(bound, 2)
  end
end
return found
