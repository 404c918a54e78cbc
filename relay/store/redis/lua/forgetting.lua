#!lua flags=allow-oom
-- The time to measure ages by: the server's, unless it has just jumped.
-- KEYS[1] time of the last call, and from when on events may be forgotten
-- ARGV    ms between two calls that count as a jump · ms to wait after one
-- Returns {now in ms, ms until events may be forgotten}. After a long pause between calls it waits, too: a pause cannot be
-- told from a jump.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept = redis.call('HMGET', KEYS[1], 'at', 'from')
local from = tonumber(kept[2] or now)
if kept[1] and math.abs(now - tonumber(kept[1])) > tonumber(ARGV[1]) then from = now + tonumber(ARGV[2]) end
redis.call('HSET', KEYS[1], 'at', string.format('%.0f', now), 'from', string.format('%.0f', from))
return {now, math.max(0, from - now)}
