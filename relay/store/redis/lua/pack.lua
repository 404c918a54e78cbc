#!lua flags=allow-oom
-- Replace a hash, if it is unchanged.
-- KEYS[1] the hash   KEYS[2] the list that moves into it, or the hash again
-- ARGV    sha1 of its fields and values, each after a zero byte but the first · how many entries the list had
--         field, value, ...
-- Returns 1, or 0 where it has changed.

local kept = redis.call('HGETALL', KEYS[1])
if redis.sha1hex(table.concat(kept, '\0')) ~= ARGV[1] then return 0 end
if KEYS[2] ~= KEYS[1] and redis.call('LLEN', KEYS[2]) ~= tonumber(ARGV[2]) then return 0 end
-- Delete it first: a large hash stays large when only fields are removed.
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
return 1
