#!lua flags=allow-oom
-- Remove ids from an index of the second layout that the third replaces by a count or by periods.
-- KEYS[1] the index   ARGV  prefix of its ids · how many at most · the field that counts them from now on, or ''
-- Returns the number of removed ids; 0 at the end. Running it twice is safe: each is counted when it is removed.

local bound = '[' .. ARGV[1]
local ids = redis.call('ZRANGE', KEYS[1], bound, bound .. '~', 'BYLEX', 'LIMIT', 0, ARGV[2])
if #ids == 0 then return 0 end
if ARGV[3] ~= '' then redis.call('HINCRBY', KEY.counters, ARGV[3], #ids) end
redis.call('ZREM', KEYS[1], unpack(ids))
return #ids
