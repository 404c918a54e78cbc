#!lua flags=allow-oom
-- Renew the claims of these deliveries.
-- KEYS[1] the index in which they stand: `sending`, or `doubtful` of the portal
-- ARGV    when the claims lapse now, in ms · delivery id · its turn · ...
-- Returns 1 where all of them are still held, else 0: one has lapsed.

local are_ours = 1
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('HGET', KEY.delivery .. id, 'turn') == ARGV[i + 1] and redis.call('ZSCORE', KEYS[1], id) then
    redis.call('ZADD', KEYS[1], 'XX', ARGV[1], id)
  else
    are_ours = 0
  end
end
return are_ours
