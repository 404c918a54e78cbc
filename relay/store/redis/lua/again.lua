-- Follows a script, which is `act` now: the same call, sent again after a lost answer, does nothing and gets the answer of
-- the first one.
-- ARGV    at its end: the name of the call

local told = redis.call('GET', KEY.told .. ARGV[#ARGV])
if told then return tonumber(told) end
local answer = act()
if type(answer) == 'table' then return answer end -- it was refused, and has done nothing
redis.call('SET', KEY.told .. ARGV[#ARGV], answer, 'PX', 60000)
return answer
