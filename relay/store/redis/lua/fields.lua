#!lua flags=allow-oom
-- Write fields of a hash that stays small, on a full server too.
-- KEYS[1] the hash   ARGV  field, value, ...

redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
