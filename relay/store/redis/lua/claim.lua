-- Claim the oldest deliveries that may be sent to a portal now.
-- KEYS[1] the waiting index of the portal   KEYS[2] what this claim has taken
-- ARGV    portal · now in ms · look_at: the hard deadline in ms · how long KEYS[2] is kept, in ms · how many at most
--         budget: how long all of them together may take, in ms · ms that a start of an unknown template takes
--         number of states that may be claimed · state, ... · template id, ms of a start, ...
-- Returns a list of hashes (field, value, ...), oldest first. Each claim begins a new turn of a delivery, which every
-- later write compares. The same claim again, after a lost answer, returns what it has taken the first time.

local portal, now, look_at, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local budget, unknown = tonumber(ARGV[6]), tonumber(ARGV[7])
local claimable, takes = {}, {}
local at = 9 + tonumber(ARGV[8])
for i = 9, at - 1 do claimable[ARGV[i]] = true end
for i = at, #ARGV, 2 do takes[ARGV[i]] = tonumber(ARGV[i + 1]) end

local claimed = {}
local before = redis.call('GET', KEYS[2])
if before then
  for _, taken in ipairs(cjson.decode(before)) do
    local key = KEY.delivery .. taken[1]
    local kept = redis.call('HMGET', key, 'state', 'turn')
    if kept[1] == 'sending' and tonumber(kept[2]) == taken[2] then
      redis.call('HSET', key, 'updated_at', now)
      redis.call('ZADD', KEY.sending, look_at, taken[1])
      claimed[#claimed + 1] = redis.call('HGETALL', key)
    end
  end
  return claimed
end

local taken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, limit * 2)) do
  local key = KEY.delivery .. id
  local kept = redis.call('HMGET', key, 'state', 'order_key', 'goes_alone', 'template_id')
  local took = takes[kept[4]] or unknown
  if not claimable[kept[1]] then
    redis.call('ZREM', KEYS[1], id)
  elseif not is_first(id, kept[2]) then
    -- An older one of its order came in after it, from another host: this one waits behind it.
    redis.call('ZADD', KEY.blocked .. portal, redis.call('ZSCORE', KEYS[1], id), id)
    redis.call('ZREM', KEYS[1], id)
  elseif #claimed == 0 or (#claimed < limit and budget >= took and kept[3] ~= '1') then
    taken[#taken + 1] = {id, redis.call('HINCRBY', key, 'turn', 1)}
    redis.call('HSET', key, 'state', 'sending', 'updated_at', now, 'next_attempt_at', '')
    move(id, portal, kept[1], 'sending', look_at)
    budget = budget - took
    claimed[#claimed + 1] = redis.call('HGETALL', key)
    if kept[3] == '1' then break end
  end
end
if #claimed > 0 then
  redis.call('SET', KEYS[2], cjson.encode(taken), 'PX', ARGV[4])
  if is_due(KEYS[1], now) then wake_where_open(portal) end
end
return claimed
