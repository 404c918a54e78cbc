-- Keep what an operator says of the installation that waits, if it is still this one.
-- KEYS[1] the words   ARGV portal · member_id · word
-- Returns 1, or 0 where another one waits, or none.
if redis.call('HGET', KEY.application_waits .. ARGV[1], 'member_id') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
