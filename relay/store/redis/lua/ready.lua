-- Whether something new would be taken now: writes something that is gone in a second.
-- KEYS[1] what is written   Returns 1, or the error that the door would have.

local refusal = refuse_when_full()
if refusal then return refusal end
redis.call('SET', KEYS[1], '1', 'PX', 1000)
return 1
