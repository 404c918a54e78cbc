#!lua flags=allow-oom
-- Count a try at a secret, or return how long it has to wait. A try that has to wait is not counted.
-- KEYS    its counters: hashes of n (tries counted) and next (ms before which none passes)
-- ARGV    now in ms · ms after which a counter is forgotten · then for each counter: free tries,
--         first wait in ms and longest wait in ms, doubling with each try after the free ones
-- Returns 0 where it passes, else the ms to wait.

local now, wait, counted = tonumber(ARGV[1]), 0, {}
for index, key in ipairs(KEYS) do
  local kept = redis.call('HMGET', key, 'n', 'next')
  counted[index] = tonumber(kept[1] or 0) + 1
  wait = math.max(wait, tonumber(kept[2] or 0) - now)
end
if wait > 0 then return wait end

for index, key in ipairs(KEYS) do
  local free, first, longest = tonumber(ARGV[3 * index]), tonumber(ARGV[3 * index + 1]), tonumber(ARGV[3 * index + 2])
  local n = counted[index]
  redis.call('HSET', key, 'n', n)
  if n >= free then
    redis.call('HSET', key, 'next', now + math.min(first * 2 ^ math.min(n - free, 30), longest))
  end
  redis.call('PEXPIRE', key, ARGV[2])
end
return 0
