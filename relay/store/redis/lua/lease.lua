#!lua flags=allow-oom
-- Take a lease, or keep one that this holder has already; or end it, if it is this holder's.
-- KEYS[1] the lease   ARGV  holder · how long in ms, or 0 to end it
-- Returns 1 where the holder has it now (or had it, where it ends), else 0.

local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
