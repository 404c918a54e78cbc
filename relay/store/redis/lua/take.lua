#!lua flags=allow-oom
-- Take a slot from a portal's leaky bucket (the generic cell rate algorithm, with one number). It uses the server's clock,
-- so hosts with different clocks share one pace.
-- KEYS[1] the bucket
-- ARGV    requests a second · requests that may go at once · the longest wait worth reserving, in ms
-- Returns {1 where a slot is reserved, ms until it, further free slots}.

local rate, burst, patience = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local kept = redis.call('HMGET', KEYS[1], 'tat', 'factor', 'slowed_at')
local factor = 1
if kept[2] then
  -- After a slow-down, the pace doubles until the next refusal.
  factor = math.min(1, tonumber(kept[2]) * 2 ^ ((now - tonumber(kept[3])) / KEY.recovery_ms))
end
if factor < 1 then burst = 1 end
local interval = 1000 / (rate * factor)
local tat = math.max(tonumber(kept[1] or 0), now)
local wait = math.max(0, tat - (burst - 1) * interval - now)
if wait > patience then
  return {0, math.ceil(wait), 0}
end
tat = tat + interval
redis.call('HSET', KEYS[1], 'tat', string.format('%.3f', tat))
redis.call('PEXPIRE', KEYS[1], 3600000)
return {1, math.ceil(wait), math.max(0, math.floor((now + burst * interval - tat) / interval))}
