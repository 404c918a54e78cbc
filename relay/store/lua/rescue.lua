-- Give a waiting delivery that no queued job carries a new job. The old one, should it turn up, loses the claim.
-- KEYS[1] the delivery's hash   KEYS[2] the queue
-- ARGV    id · turn · carried: id of the job of this turn · look_at
--         number of states that may be claimed · state, ... · job (see common.lua)
-- Returns 1 where a job was made, 0 where one was there or the delivery has moved on.

local id, turn, carrier, look_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local at = 6 + tonumber(ARGV[5])
local kept = redis.call('HMGET', KEYS[1], 'state', 'turn')
local waiting = false
for i = 6, at - 1 do waiting = waiting or ARGV[i] == kept[1] end
if not waiting or kept[2] ~= turn then
  return 0
end
redis.call('ZADD', KEY.clock, look_at, id)
if redis.call('LPOS', KEYS[2], carrier) then
  return 0
end
redis.call('HINCRBY', KEYS[1], 'turn', 1)
enqueue(ARGV, at)
return 1
