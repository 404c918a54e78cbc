-- Take one of a source's slots, if one is free, or give it back.
-- KEYS[1] the taken slots   ARGV  holder · number of slots, or 0 to give it back · ms after which it is free again
-- Returns 1 where the holder has a slot now (or had one to give back), else 0.

if ARGV[2] == '0' then return redis.call('ZREM', KEYS[1], ARGV[1]) end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local has_one = redis.call('ZSCORE', KEYS[1], ARGV[1]) -- sent again after a lost answer
if not has_one and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
