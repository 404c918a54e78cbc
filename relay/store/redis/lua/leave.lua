-- A person leaves a delivery as it is: it is dead, or its end is overdue, and is no longer counted among what needs one.
-- ARGV    delivery id
-- Returns 1 where it was counted, else 0.

return redis.call('ZREM', KEY.buried, ARGV[1]) + leave_overdue(ARGV[1])
