-- Write the outcome of a delivery: compare its state and turn, then swap.
-- KEYS[1] the delivery's hash
-- ARGV    id · turn · state to come · now in ms · send_at · look_at · attempt as JSON or ''
--         number of states before · state, ... · count · field, value, ... · job (see common.lua) or nothing
-- Returns 1, or 0 where another process has moved it meanwhile.

local id, turn, to, now, send_at, look_at, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local at = 9 + tonumber(ARGV[8])
local kept = redis.call('HMGET', KEYS[1], 'state', 'turn', 'portal')
local legal = false
for i = 9, at - 1 do legal = legal or ARGV[i] == kept[1] end
if not legal or kept[2] ~= turn then
  return 0
end

redis.call('HSET', KEYS[1], 'state', to, 'updated_at', now)
local count = tonumber(ARGV[at])
if count > 0 then redis.call('HSET', KEYS[1], unpack(ARGV, at + 1, at + count)) end
at = at + count + 1
if attempt ~= '' then
  redis.call('RPUSH', KEY.attempts .. id, attempt)
  redis.call('HINCRBY', KEYS[1], 'attempts', 1)
end
move(id, kept[3], kept[1], to, send_at, look_at)
if ARGV[at] then
  redis.call('HINCRBY', KEYS[1], 'turn', 1)
  enqueue(ARGV, at)
end
return 1
