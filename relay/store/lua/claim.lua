-- Claim a delivery for sending, and with it the oldest others that wait for the same portal.
-- KEYS[1] the waiting index of the portal
-- ARGV    delivery id · turn of the job that asks · now in ms · look_at: the hard deadline in ms · how many at most
--         number of states that may be claimed · state, ...
-- Returns a list of hashes (field, value, ...), the asked one first; empty where the turn is another's.

local asked, turn, now, look_at, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local claimable = {}
for i = 7, 6 + tonumber(ARGV[6]) do claimable[ARGV[i]] = true end

local kept = redis.call('HMGET', KEY.delivery .. asked, 'state', 'turn')
if not claimable[kept[1]] or kept[2] ~= turn then
  return {}
end

local function claim(id)
  local key = KEY.delivery .. id
  local before = redis.call('HMGET', key, 'state', 'portal')
  if not claimable[before[1]] then return nil end
  redis.call('HSET', key, 'state', 'sending', 'updated_at', now, 'next_attempt_at', '')
  move(id, before[2], before[1], 'sending', now, look_at)
  return redis.call('HGETALL', key)
end

local claimed = {claim(asked)}
if limit > 1 then
  -- One more than needed, for the asked one may still be among them in another's eyes.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, limit - 1)) do
    local other = claim(id)
    if other then claimed[#claimed + 1] = other end
  end
end
return claimed
