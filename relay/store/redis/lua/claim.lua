#!lua flags=allow-oom
-- Claim the oldest deliveries that may be sent to a portal now.
-- KEYS[1] the waiting index of the portal   KEYS[2] what this claim has taken
-- ARGV    portal · now in ms · look_at: when the claim lapses, in ms · how long KEYS[2] is kept, in ms
--         manner of the calls, or '': the mark of the address where a start carries an own id · ms for which a call may
--         still be running · the most deliveries
--         budget: ms for all calls together · ms of a call that was never measured
--         number of states that may be claimed · state, ...
--         number of limited methods · method ('' is the start of workflows), the most calls of it, ms for them together,
--         when more is granted in ms, or '', 1: alone, ...
--         template id or method, ms of a call, ...
-- Returns a list of hashes with their ids (field, value, ...), oldest first. Each claim begins a new turn of a delivery,
-- which every later write compares. The same claim again, after a lost answer, returns what it took the first time.

local portal, now, look_at, own_id_at, settle_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[5], ARGV[6]
local limit, budget, unknown = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local claimable, grants, takes = {}, {}, {}
local at = 11 + tonumber(ARGV[10])
for i = 11, at - 1 do claimable[ARGV[i]] = true end
local last = at + 5 * tonumber(ARGV[at])
for i = at + 1, last, 5 do
  grants[ARGV[i]] = {
    calls = tonumber(ARGV[i + 1]), left = tonumber(ARGV[i + 2]), till = ARGV[i + 3], alone = ARGV[i + 4] == '1',
  }
end
for i = last + 1, #ARGV, 2 do takes[ARGV[i]] = tonumber(ARGV[i + 1]) end

-- Record the manner of the call, for the configuration may change before reconciliation. A step keeps that of the start.
local function note_manner(key, method)
  local flat, gone = {}, {'next_attempt_at'}
  local function write(name, value)
    if value == '' then gone[#gone + 1] = name else put(flat, name, value) end
  end
  if method == '' then write('own_id_at', own_id_at) end
  write('settle_ms', settle_ms)
  redis.call('HDEL', key, unpack(gone))
  return flat
end

local claimed = {}
local function add(id)
  local row = redis.call('HGETALL', KEY.delivery .. id)
  row[#row + 1], row[#row + 2] = 'id', id
  claimed[#claimed + 1] = row
end

local before = redis.call('GET', KEYS[2])
if before then
  for _, taken in ipairs(cjson.decode(before)) do
    local key = KEY.delivery .. taken[1]
    local kept = redis.call('HMGET', key, 'state', 'turn')
    if kept[1] == 'sending' and tonumber(kept[2]) == taken[2] then
      redis.call('HSET', key, 'updated_at', now)
      redis.call('ZADD', KEY.sending, look_at, taken[1])
      add(taken[1])
    end
  end
  return claimed
end

-- The gate may have closed since this worker looked.
if not is_open(portal) then return {} end

-- Ms by which a delivery that tried the method in vain comes after the others; the latest comes last, so that each gets
-- its turn.
local function behind(stepped_at)
  return stepped_at and 1 + math.floor(tonumber(stepped_at) / 60000) % 998 or 0
end

-- Some keep their time, for another claim; those that cannot go before a known time get that time.
local taken, looked, passed, is_full = {}, 0, 0, false
while not is_full and looked < 2000 do
  local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', passed, 100)
  for _, id in ipairs(ids) do
    local key = KEY.delivery .. id
    local kept = redis.call('HMGET', key, 'state', 'order_key', 'goes_alone', 'template_id', 'method', 'stepped_at')
    local method = kept[5] or ''
    local known = takes[method ~= '' and method or kept[4]]
    local took, grant = known or unknown, grants[method]
    local alone = kept[3] == '1' or (grant and grant.alone)
    local is_granted = not grant or (grant.calls > 0 and grant.left > 0 and (not known or known <= grant.left))
    looked = looked + 1
    if not claimable[kept[1]] then
      redis.call('ZREM', KEYS[1], id)
    elseif not is_first(id, kept[2]) then
      -- An older one of its order came in after it, from another host: this one waits behind it.
      redis.call('ZADD', KEY.blocked .. portal, redis.call('ZSCORE', KEYS[1], id), id)
      redis.call('ZREM', KEYS[1], id)
    elseif grant and grant.till ~= '' and (grant.left <= 0 or (known and known > grant.left)) then
      redis.call('ZADD', KEYS[1], grant.till + behind(kept[6]), id)
      redis.call('HSET', key, 'next_attempt_at', grant.till)
    elseif is_granted and (#claimed == 0 or (budget >= took and not alone)) then
      taken[#taken + 1] = {id, redis.call('HINCRBY', key, 'turn', 1)}
      redis.call('HSET', key, 'state', 'sending', 'updated_at', now, unpack(note_manner(key, method)))
      move(id, portal, kept[1], 'sending', look_at, kept[2])
      budget = budget - took
      if grant then grant.calls, grant.left = grant.calls - 1, grant.left - took end
      add(id)
      is_full = #claimed == limit or alone
    else
      passed = passed + 1
      is_full = passed > 2 * limit
    end
    if is_full then break end
  end
  if #ids < 100 then break end
end
if #claimed > 0 then
  count_promise()
  redis.call('SET', KEYS[2], cjson.encode(taken), 'PX', ARGV[4])
  if is_due(KEYS[1], now) then notify_where_open(portal) end
end
return claimed
