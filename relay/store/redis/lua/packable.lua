#!lua flags=no-writes
-- Find unpacked hashes of events that have not changed for a while, oldest first.
-- KEYS[1] every event id
-- ARGV    oldest bound · newest bound · how many are looked at · ms after which nothing may have changed
-- Returns {the last id that it looked at, or ''; how many it looked at; the key of a hash that is not packed, ...}

local ids = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'BYLEX', 'LIMIT', 0, ARGV[3])
local settled = tonumber(ARGV[4])
local found = {ids[#ids] or '', #ids}
for _, id in ipairs(ids) do
  local open, is_final = {}, true
  for _, delivery in ipairs(cjson.decode(redis.call('HGET', KEY.event .. id, 'deliveries') or '[]')) do
    local key = KEY.delivery .. delivery
    -- What is packed has no time of its own; what was written to it since then has.
    local kept = redis.call('HMGET', key, 'state', 'updated_at')
    if kept[1] and kept[1] ~= 'started' and kept[1] ~= 'dead' then is_final = false end
    if kept[2] and tonumber(kept[2]) > settled then is_final = false end
    if kept[2] then open[#open + 1] = key end
  end
  if redis.call('HEXISTS', KEY.event .. id, 'z') == 0 then open[#open + 1] = KEY.event .. id end
  if is_final then
    for _, key in ipairs(open) do found[#found + 1] = key end
  end
end
return found
