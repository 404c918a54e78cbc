-- Keep an opening of the application with its sealed box, and notify a worker, unless too many wait.
-- KEYS[1] the opening's hash   KEYS[2] the openings of its portal
-- ARGV    id · portal · box · now in ms · how long it may wait, in ms · the most that may wait · count · field, value, ...
-- Returns 1, or 0 where too many wait. The key of the box is not among KEYS: the web process may write it, not read it.
local refusal = refuse_when_full()
if refusal then return refusal end
if redis.call('EXISTS', KEYS[1]) == 1 then return 1 end -- sent again after a lost answer: it has been done
local now, waits = tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - waits)
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[6]) then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 8, 7 + tonumber(ARGV[7])))
redis.call('PEXPIRE', KEYS[1], waits)
redis.call('SET', KEY.tokens_sent .. ARGV[1], ARGV[3], 'PX', waits)
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('PEXPIRE', KEYS[2], 2 * waits)
notify(ARGV[2])
return 1
