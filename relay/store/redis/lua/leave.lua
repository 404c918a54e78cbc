#!lua flags=allow-oom
-- A person leaves something as it is: a dead or overdue delivery, or a rejected event is no longer unresolved.
-- ARGV    id of the delivery or event
-- Returns 1 where it was counted, else 0.

local id = ARGV[1]
if string.sub(id, 1, 4) == 'evt_' then return redis.call('ZREM', KEY.unmended, id) end
return redis.call('ZREM', KEY.buried, id) + leave_overdue(id)
