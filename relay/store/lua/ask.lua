-- Keep a question to a portal, and give it a job.
-- KEYS[1] the question's hash   ARGV  ttl in seconds · count · field, value, ... · job (see common.lua)
redis.call('HSET', KEYS[1], unpack(ARGV, 3, 2 + tonumber(ARGV[2])))
redis.call('EXPIRE', KEYS[1], ARGV[1])
enqueue(ARGV, 3 + tonumber(ARGV[2]))
return 1
