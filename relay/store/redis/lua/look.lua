#!lua flags=allow-oom
-- Claim the next due uncertain delivery of a portal; of an order, the oldest.
-- KEYS[1] the doubtful index of the portal
-- ARGV    portal · now in ms · again_at: when another process may claim it after a death, in ms
--         name of the call: sent again after a lost answer, it gets the same delivery
-- Returns its hash with its id (field, value, ...), or nothing. Looking begins a new turn, which every later write compares.

local function row_of(id)
  local row = redis.call('HGETALL', KEY.delivery .. id)
  row[#row + 1], row[#row + 2] = 'id', id
  return row
end

local taken, turn = string.match(redis.call('GET', KEY.told .. ARGV[4]) or '', '^(%S+) (%d+)$')
if taken then return redis.call('HGET', KEY.delivery .. taken, 'turn') == turn and row_of(taken) or {} end

if not is_open(ARGV[1]) then return {} end
local id, key
repeat
  id = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, 1)[1]
  if not id then return {} end
  key = KEY.delivery .. id
  local kept = redis.call('HMGET', key, 'state', 'order_key')
  local is_doubtful, may_go = kept[1] == 'uncertain', is_first(id, kept[2])
  if not is_doubtful then
    redis.call('ZREM', KEYS[1], id)
  elseif not may_go then
    -- An older one of its order came in after it, from another host: this one waits behind it.
    redis.call('ZADD', KEYS[1], '+inf', id)
  end
until is_doubtful and may_go
turn = redis.call('HINCRBY', key, 'turn', 1)
redis.call('ZADD', KEYS[1], ARGV[3], id)
redis.call('SET', KEY.told .. ARGV[4], id .. ' ' .. turn, 'PX', 60000)
if is_due(KEYS[1], ARGV[2]) then notify_where_open(ARGV[1]) end
return row_of(id)
