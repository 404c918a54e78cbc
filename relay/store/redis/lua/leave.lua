#!lua flags=allow-oom
-- A person leaves something as it is, and it is no longer counted among what needs one: a delivery that is dead, or whose
-- end is overdue, or an event that was rejected.
-- ARGV    id of the delivery or event
-- Returns 1 where it was counted, else 0.

local id = ARGV[1]
if string.sub(id, 1, 4) == 'evt_' then return redis.call('ZREM', KEY.unmended, id) end
return redis.call('ZREM', KEY.buried, id) + leave_overdue(id)
