-- Keep a question to a portal, and notify a worker, whatever the gate's state: people ask about held portals.
-- KEYS[1] the question's hash   KEYS[2] the questions of its portal
-- ARGV    question id · portal · ttl in seconds · count · field, value, ...
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end -- sent again after a lost answer: it has been done
redis.call('HSET', KEYS[1], unpack(ARGV, 5, 4 + tonumber(ARGV[4])))
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return notify(ARGV[2])
