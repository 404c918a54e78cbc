#!lua flags=allow-oom
-- Bind an installation to a portal. Tokens and administrators of another one are forgotten.
-- KEYS[1] the installation   KEYS[2] the tokens   KEYS[3] the administrators   KEYS[4] the installation that waits
-- ARGV    client_id · member_id · count · field, value, ...
local before = redis.call('HMGET', KEYS[1], 'client_id', 'member_id')
if before[1] ~= ARGV[1] or before[2] ~= ARGV[2] then redis.call('DEL', KEYS[1], KEYS[2], KEYS[3]) end
redis.call('HSET', KEYS[1], unpack(ARGV, 4, 3 + tonumber(ARGV[3])))
if redis.call('HGET', KEYS[4], 'member_id') == ARGV[2] then redis.call('DEL', KEYS[4]) end
return 1
