-- Whether a new event would be recorded now: writes a key that expires in a second.
-- KEYS[1] the key   Returns 1, or the error that a sender would get.

local refusal = refuse_when_full()
if refusal then return refusal end
redis.call('SET', KEYS[1], '1', 'PX', 1000)
return 1
