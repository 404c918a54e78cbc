-- Claim a delivery for sending, and with it the oldest others that wait for the same portal.
-- KEYS[1] the waiting index of the portal
-- ARGV    delivery id · turn of the job that asks · now in ms · look_at: the hard deadline in ms · how many at most
--         budget: how long all of them together may take, in ms · ms that a start of an unknown template takes
--         number of states that may be claimed · state, ... · template id, ms of a start, ...
-- Returns a list of hashes (field, value, ...), oldest first after the asked one. The asked one is left out where its
-- turn is another's, or an older delivery of the same document has to go first: the caller holds a slot of the
-- portal's pace, and others may use it.

local asked, turn, now, look_at, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local budget, unknown = tonumber(ARGV[6]), tonumber(ARGV[7])
local claimable, takes = {}, {}
local at = 9 + tonumber(ARGV[8])
for i = 9, at - 1 do claimable[ARGV[i]] = true end
for i = at, #ARGV, 2 do takes[ARGV[i]] = tonumber(ARGV[i + 1]) end

local function is_first(id, order)
  return order == '' or redis.call('ZRANGE', KEY.order .. order, 0, 0)[1] == id
end

local kept = redis.call('HMGET', KEY.delivery .. asked, 'state', 'turn', 'order_key', 'goes_alone')
local claimed = {}
local function claim(id)
  local key = KEY.delivery .. id
  local before = redis.call('HMGET', key, 'state', 'portal', 'template_id')
  redis.call('HSET', key, 'state', 'sending', 'updated_at', now, 'next_attempt_at', '')
  move(id, before[2], before[1], 'sending', now, look_at)
  budget = budget - (takes[before[3]] or unknown)
  claimed[#claimed + 1] = redis.call('HGETALL', key)
end

if claimable[kept[1]] and kept[2] == turn and is_first(asked, kept[3]) then
  claim(asked)
  if limit == 1 or kept[4] == '1' then
    return claimed
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, limit * 2)) do
  local other = redis.call('HMGET', KEY.delivery .. id, 'state', 'order_key', 'goes_alone', 'template_id')
  local fits = #claimed == 0 or (budget >= (takes[other[4]] or unknown) and other[3] ~= '1')
  if #claimed < limit and claimable[other[1]] and fits and is_first(id, other[2]) then
    claim(id)
    if other[3] == '1' then break end
  end
end
return claimed
