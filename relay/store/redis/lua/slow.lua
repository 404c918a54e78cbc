#!lua flags=allow-oom
-- The portal refused a request as one too many: halve the pace, keep no burst, and let its bucket drain a moment.
-- Refusals within a second count as one: their requests were sent together.
-- KEYS[1] the bucket   ARGV  requests a second · requests that may go at once
-- Returns the pace now, in thousandths of the full one.

local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local kept = redis.call('HMGET', KEYS[1], 'factor', 'slowed_at')
local factor = 1
if kept[1] then
  if now - tonumber(kept[2]) < 1000 then return math.floor(tonumber(kept[1]) * 1000) end
  factor = math.min(1, tonumber(kept[1]) * 2 ^ ((now - tonumber(kept[2])) / KEY.recovery_ms))
end
factor = math.max(0.125, factor / 2)
redis.call('HSET', KEYS[1], 'factor', factor, 'slowed_at', string.format('%.0f', now),
  'tat', string.format('%.3f', now + 1000 / (rate * factor)))
redis.call('PEXPIRE', KEYS[1], 3600000)
return math.floor(factor * 1000)
