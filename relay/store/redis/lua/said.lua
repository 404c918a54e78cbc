#!lua flags=allow-oom
-- Write what has become of a comment: compare its claim, then swap.
-- KEYS[1] the delivery's hash
-- ARGV    id · tries, as the claim has counted them · state · reason · now in ms · when it may be sent again in ms, or ''
-- Returns 1, or 0 where this claim has had its say before.

local kept = redis.call('HMGET', KEYS[1], 'comment', 'comment_tries', 'portal')
if kept[1] ~= 'missing' or kept[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'comment', ARGV[3], 'comment_reason', ARGV[4], 'comment_at', ARGV[5])
if ARGV[6] ~= '' then
  redis.call('ZADD', KEY.comments .. kept[3], ARGV[6], ARGV[1])
else
  redis.call('HDEL', KEYS[1], 'comment_alone', 'comment_tries')
end
return 1
