#!lua flags=no-writes
-- Group the newest ids of an index by the fields of their hashes.
-- KEYS[1] the index   ARGV  newest bound · oldest bound · how many are looked at · prefix of the hashes · field, ...
-- Returns {the last id that it looked at, or '' at the end of the index; {count, newest id, oldest id, value, ...}, ...}

local names = {unpack(ARGV, 5)}
local ids = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'BYLEX', 'REV', 'LIMIT', 0, ARGV[3])
local groups, found = {}, {#ids < tonumber(ARGV[3]) and '' or ids[#ids]}
for _, id in ipairs(ids) do
  local values = redis.call('HMGET', ARGV[4] .. id, unpack(names))
  for i = 1, #names do values[i] = values[i] or '' end
  local key = table.concat(values, '\0')
  local group = groups[key]
  if not group then
    group = {0, id, id, unpack(values)}
    groups[key] = group
    found[#found + 1] = group
  end
  group[1], group[3] = group[1] + 1, id
end
return found
