-- Comes after a script that is `act` now: the same call, sent again because its answer was lost, does nothing more and is
-- told what the first one was.
-- ARGV    at its end: the name of the call

local told = redis.call('GET', KEY.told .. ARGV[#ARGV])
if told then return tonumber(told) end
local answer = act()
if type(answer) == 'table' then return answer end -- it was refused, and has done nothing
redis.call('SET', KEY.told .. ARGV[#ARGV], answer, 'PX', 60000)
return answer
