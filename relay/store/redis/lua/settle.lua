-- Write the outcome of a delivery: compare its state and turn, then swap.
-- KEYS[1] the delivery's hash
-- ARGV    id · turn · state to come · now in ms · when it may be sent or looked into (see `place`) · attempt as JSON or ''
--         number of states before · state, ... · count · field, value, ...
--         (a workflow id among the fields is claimed for this delivery: no other may have it)
-- Returns 0 where another process has moved it meanwhile, -1 where the workflow belongs to another delivery, else 1.

local id, turn, to, now, due_at, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local at = 8 + tonumber(ARGV[7])
local kept = redis.call('HMGET', KEYS[1], 'state', 'turn', 'portal', 'finished_at')
local legal = false
for i = 8, at - 1 do legal = legal or ARGV[i] == kept[1] end
if not legal or kept[2] ~= turn then
  return 0
end
-- Its workflow has called the address that only its start carries: whatever the answer was, it has started.
local is_proven = kept[4] and kept[4] ~= '' and to ~= 'started'
if is_proven then to, due_at = 'started', '' end

local number = tonumber(ARGV[at])
for i = at + 1, at + number, 2 do
  if ARGV[i] == 'workflow_id' and redis.call('HSETNX', KEY.workflows, ARGV[i + 1], id) == 0 then
    if redis.call('HGET', KEY.workflows, ARGV[i + 1]) ~= id then return -1 end
  end
end
index(id, 'ZREM')
redis.call('HSET', KEYS[1], 'state', to, 'updated_at', now)
if number > 0 then redis.call('HSET', KEYS[1], unpack(ARGV, at + 1, at + number)) end
if is_proven then redis.call('HSET', KEYS[1], 'reason', 'finished', 'next_attempt_at', '') end
index(id, 'ZADD')
if attempt ~= '' then
  redis.call('RPUSH', KEY.attempts .. id, attempt)
  redis.call('HINCRBY', KEYS[1], 'attempts', 1)
  count('attempt:' .. cjson.decode(attempt).verdict)
end
move(id, kept[3], kept[1], to, due_at)
if to == 'dead' then
  local reason = redis.call('HGET', KEYS[1], 'reason')
  -- What a person has given up needs nobody any more.
  if reason ~= 'cancelled' and reason ~= 'settled_by_person' then redis.call('ZADD', KEY.buried, 0, id) end
end
if kept[1] == 'sending' and to ~= 'started' then
  -- Also where no attempt is spent, as on a portal that is held: the page of portals shows what they say lately.
  local reason = redis.call('HGET', KEYS[1], 'reason')
  if reason and reason ~= '' then
    redis.call('LPUSH', KEY.codes .. kept[3], now .. ' ' .. reason)
    redis.call('LTRIM', KEY.codes .. kept[3], 0, 19)
    redis.call('EXPIRE', KEY.codes .. kept[3], 604800)
  end
end
if kept[1] ~= to and (to == 'started' or to == 'dead' or to == 'uncertain') then conclude(id, to, now) end
if (to == 'pending' or to == 'retrying') and tonumber(due_at) <= tonumber(now) then wake_where_open(kept[3]) end
write_counts()
return 1
