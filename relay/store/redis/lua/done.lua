#!lua flags=allow-oom
-- Note a completion callback: the workflow of its delivery has ended. Only the first call counts.
-- KEYS[1] the deliveries by their addresses
-- ARGV    digest of the address · now in ms · its query · the document as JSON
--         number of states in which the call proves that it has started · state, ...
-- Returns {delivery id, 1 where this was the first call, else 0, the delivery that has replayed it while it was dead, or ''},
-- or nothing where no start carries the address.

local now = ARGV[2]
local id = redis.call('HGET', KEYS[1], ARGV[1])
if not id then return {} end
local key = KEY.delivery .. id
local kept = redis.call('HMGET', key, 'state', 'portal', 'finished_at', 'order_key', 'replayed_by', 'reason')
if kept[3] and kept[3] ~= '' then
  -- At the same moment only the same call can have come, sent again after a lost answer: it is told the same.
  local is_same = kept[3] == now
  return {id, is_same and 1 or 0, is_same and kept[6] == 'finished' and kept[5] or ''}
end

redis.call('HSET', key, 'finished_at', now, 'finished_query', ARGV[3], 'finished_document', ARGV[4],
  'watch_state', 'finished', 'updated_at', now)
redis.call('ZREM', KEY.awaited, id)
redis.call('ZREM', KEY.overdue, id)
local replay = ''
for i = 6, 5 + tonumber(ARGV[5]) do
  if kept[1] == ARGV[i] then
    if kept[1] == 'dead' then replay = kept[5] or '' end
    redis.call('HSET', key, 'state', 'started', 'reason', 'finished')
    redis.call('HDEL', key, 'next_attempt_at')
    note_delivery(id, 'reason', 'finished')
    move(id, kept[2], kept[1], 'started', '', kept[4])
    conclude(id, 'started', now)
    announce(id, 'started', now, false)
  end
end
write_counts()
return {id, 1, replay}
