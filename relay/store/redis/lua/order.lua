-- Keep a bulk order, unless one with the same filter and act runs or is held.
-- KEYS[1] the last such order   KEYS[2] the ids of running orders
-- ARGV    prefix of orders · id · the order as JSON · ttl in seconds · states of open orders, ...
-- Returns the valid order, as JSON. Sent again after a lost answer, it finds its own.

local prefix, id, order, kept_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local known = redis.call('GET', KEYS[1])
local kept = known and redis.call('GET', prefix .. known)
if kept then
  local state = cjson.decode(kept).state
  for i = 5, #ARGV do
    if state == ARGV[i] then return kept end
  end
end
redis.call('SET', KEYS[1], id, 'EX', kept_s)
redis.call('SET', prefix .. id, order, 'EX', kept_s)
redis.call('SADD', KEYS[2], id)
return order
