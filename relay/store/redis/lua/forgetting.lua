#!lua flags=allow-oom
-- The time by which something is old enough to be forgotten: the server's, unless it has just jumped.
-- KEYS[1] when this was last asked, and from when on something may be forgotten
-- ARGV    ms between two questions that are a jump · ms to wait after one
-- Returns {now in ms, ms until something may be forgotten}. A process that asks seldom waits as after a jump: nobody can
-- tell a clock that was set from one at which nobody has looked.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept = redis.call('HMGET', KEYS[1], 'at', 'from')
local from = tonumber(kept[2] or now)
if kept[1] and math.abs(now - tonumber(kept[1])) > tonumber(ARGV[1]) then from = now + tonumber(ARGV[2]) end
redis.call('HSET', KEYS[1], 'at', string.format('%.0f', now), 'from', string.format('%.0f', from))
return {now, math.max(0, from - now)}
