#!lua flags=allow-oom
-- Take the uncertain delivery of a portal that is to be looked into first, if its time has come.
-- KEYS[1] the doubtful index of the portal
-- ARGV    portal · now in ms · again_at: when the next may take it, should this process die over it, in ms
-- Returns its hash with its id (field, value, ...), or nothing. Looking begins a new turn, which every later write compares.

local id = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, 1)[1]
if not id then return {} end
local key = KEY.delivery .. id
if redis.call('HGET', key, 'state') ~= 'uncertain' then
  redis.call('ZREM', KEYS[1], id)
  return {}
end
redis.call('HINCRBY', key, 'turn', 1)
redis.call('ZADD', KEYS[1], ARGV[3], id)
if is_due(KEYS[1], ARGV[2]) then wake_where_open(ARGV[1]) end
local row = redis.call('HGETALL', key)
row[#row + 1], row[#row + 2] = 'id', id
return row
