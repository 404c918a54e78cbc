#!lua flags=allow-oom
-- Write fields of a small hash, even on a full server.
-- KEYS[1] the hash   ARGV  field, value, ...

redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
