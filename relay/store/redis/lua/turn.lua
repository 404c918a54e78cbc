-- Use up the page token of one turn of an opening.
-- KEYS[1] the opening's hash
-- ARGV    the turn of the token
-- Returns 1, or 0 where it was used before or the opening is gone.
if redis.call('HGET', KEYS[1], 'turn') ~= ARGV[1] then return 0 end
redis.call('HINCRBY', KEYS[1], 'turn', 1)
return 1
