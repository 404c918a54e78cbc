#!lua flags=allow-oom
-- Write the outcome of a delivery: compare its state and turn, then swap.
-- KEYS[1] the delivery's hash
-- ARGV    id · turn · state to come · now in ms · when it may be sent or reconciled (see `place`) · attempt as JSON or ''
--         number of states before · state, ... · count · field, value, ...
--         (next_attempt_at and reason are always among the fields; empty ones are deleted; a workflow id is claimed for
--         this delivery: no other may have it)
-- Returns 0 where another process got there first, -1 where the workflow belongs to another delivery, else 1.

local id, turn, to, now, due_at, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local at = 8 + tonumber(ARGV[7])
local kept = redis.call('HMGET', KEYS[1], 'state', 'turn', 'portal', 'finished_at', 'order_key', 'document', 'attempts')
local from, portal, document = kept[1], kept[3], kept[6]
local fields = {}
for i = at + 1, at + tonumber(ARGV[at]), 2 do fields[ARGV[i]] = ARGV[i + 1] end
local legal = false
for i = 8, at - 1 do legal = legal or ARGV[i] == from end
if not legal or kept[2] ~= turn then
  -- An answer after its claim has lapsed still proves which workflow has started; but during another process's call, that
  -- call decides.
  if to ~= 'started' or not fields.workflow_id or not from or from == 'started' or from == 'sending' then return 0 end
  if attempt ~= '' then
    local tried = cjson.decode(attempt)
    tried.number = tonumber(kept[7] or 0) + 1
    attempt = cjson.encode(tried)
  end
end
-- Its workflow has called the completion callback: whatever the answer was, it has started.
if kept[4] and kept[4] ~= '' and to ~= 'started' then
  to, due_at, fields.reason, fields.next_attempt_at = 'started', '', 'finished', ''
end

local workflow = fields.workflow_id
if workflow and redis.call('HSETNX', KEY.workflows, workflow, id) == 0 then
  if redis.call('HGET', KEY.workflows, workflow) ~= id then return -1 end
end
local flat, empty = {'state', to, 'updated_at', now}, {'next_attempt_at'}
for name, value in pairs(fields) do
  if value == '' then empty[#empty + 1] = name else put(flat, name, value) end
end
redis.call('HDEL', KEYS[1], unpack(empty))
redis.call('HSET', KEYS[1], unpack(flat))
if fields.document and fields.document ~= document then
  if document then redis.call('ZREM', KEY.deliveries_by_document .. document, id) end
  if fields.document ~= '' then redis.call('ZADD', KEY.deliveries_by_document .. fields.document, 0, id) end
end
note_delivery(id, 'reason', fields.reason)
if attempt ~= '' then
  redis.call('RPUSH', KEY.attempts .. id, attempt)
  redis.call('HINCRBY', KEYS[1], 'attempts', 1)
  count('attempt:' .. cjson.decode(attempt).verdict)
end
move(id, portal, from, to, due_at, kept[5])
-- Only a person can tell whether an uncertain trigger was fired.
if fields.reason == 'settled_by_person' or (from == 'uncertain' and fields.reason == 'triggered') then
  redis.call('HSET', KEYS[1], 'settled', 1)
end
-- A delivery that a person gave up is resolved, and is not reported as dead.
if to == 'dead' then
  if fields.reason == 'cancelled' or fields.reason == 'settled_by_person' then
    count('delivery:given_up')
  else
    redis.call('ZADD', KEY.buried, 0, id)
  end
end
if from == 'sending' and to ~= 'started' and fields.reason ~= '' then
  -- Also without a spent attempt, as on a held portal: the page of portals shows the latest codes.
  redis.call('LPUSH', KEY.codes .. portal, now .. ' ' .. fields.reason)
  redis.call('LTRIM', KEY.codes .. portal, 0, 19)
  redis.call('EXPIRE', KEY.codes .. portal, 604800)
end
if from ~= to and (to == 'started' or to == 'dead' or to == 'uncertain') then conclude(id, to, now) end
local needs_person = to == 'uncertain' and due_at == ''
if from ~= to or needs_person then announce(id, to, now, needs_person) end
if (to == 'pending' or to == 'retrying') and tonumber(due_at) <= tonumber(now) then notify_where_open(portal) end
write_counts()
return 1
