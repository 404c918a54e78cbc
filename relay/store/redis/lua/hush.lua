#!lua flags=allow-oom
-- The record has gone back: comments that wait in it may have been sent, so they are not sent.
-- ARGV    now in ms · reason · delivery id, ...
-- Returns how many there were.

local count = 0
for i = 3, #ARGV do
  local key = KEY.delivery .. ARGV[i]
  local kept = redis.call('HMGET', key, 'comment', 'portal')
  if kept[1] == 'waiting' then
    redis.call('HSET', key, 'comment', 'missing', 'comment_reason', ARGV[2], 'comment_at', ARGV[1])
    redis.call('ZREM', KEY.comments .. kept[2], ARGV[i])
    count = count + 1
  end
end
return count
