-- Keep an unfinished rule of a person, or forget it, if the one on record is still the one that the person saw.
-- KEYS[1] the person's drafts
-- ARGV    subject · sha1 of the draft that was seen · the new one, empty: forget it · most drafts · ttl in seconds
-- Returns the draft on record where it is another one; else nil. A draft begins with its time and a colon.
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and held ~= ARGV[3] and redis.sha1hex(held) ~= ARGV[2] then return held end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return nil
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[5])
while redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) do
  local all, oldest, at = redis.call('HGETALL', KEYS[1]), nil, nil
  for place = 1, #all, 2 do
    local time = tonumber(string.match(all[place + 1], '^%d+'))
    if all[place] ~= ARGV[1] and (not at or time < at) then oldest, at = all[place], time end
  end
  redis.call('HDEL', KEYS[1], oldest)
end
return nil
