#!lua flags=allow-oom
-- Take the oldest opening of a portal for a while, or answer one.
-- KEYS[1] the openings of the portal
-- ARGV    take · now in ms · how long it is taken for, in ms
--         answer · id · how long the answer is kept, in ms · count · field, value, ...
-- Returns {id, box} or nothing; 1 where the answer was kept, else 0: another worker has answered, or it has expired.
if ARGV[1] == 'take' then
  local now = tonumber(ARGV[2])
  for _ = 1, 100 do
    local id = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1)[1]
    if not id then return false end
    local box = redis.call('GET', KEY.tokens_sent .. id)
    if box then
      redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), id)
      return {id, box}
    end
    redis.call('ZREM', KEYS[1], id)
  end
  return false
end
local id = ARGV[2]
redis.call('ZREM', KEYS[1], id)
redis.call('DEL', KEY.tokens_sent .. id)
if redis.call('HGET', KEY.opening .. id, 'state') ~= 'asked' then return 0 end
redis.call('HSET', KEY.opening .. id, unpack(ARGV, 5, 4 + tonumber(ARGV[4])))
redis.call('PEXPIRE', KEY.opening .. id, ARGV[3])
return 1
