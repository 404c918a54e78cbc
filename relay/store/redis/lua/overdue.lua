#!lua flags=allow-oom
-- The clock: mark workflows without a completion callback in time as overdue.
-- KEYS[1] the index of awaited ends
-- ARGV    now in ms · how many at most
-- Returns their ids.

local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
  redis.call('ZADD', KEY.overdue, 0, id)
  redis.call('HSET', KEY.delivery .. id, 'watch_state', 'overdue')
  redis.call('ZREM', KEYS[1], id)
end
return ids
