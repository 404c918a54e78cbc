#!lua flags=allow-oom
-- Put deliveries of the first layout, which stood on one clock, where those of later ones stand.
-- ARGV    now in ms · how long a claim holds, in ms · delivery id, ...
-- Running it twice is safe: a delivery leaves its place before it is given one. What has no field `id` is of a later
-- layout; and without the clock, on which all stood that were not final, another has done it to the end.

local now, holds = ARGV[1], tonumber(ARGV[2])
local has_clock = redis.call('EXISTS', KEY.clock) == 1
for i = 3, #ARGV do
  local id = ARGV[i]
  local kept = redis.call('HMGET', KEY.delivery .. id, 'state', 'portal', 'order_key', 'next_attempt_at', 'created_at',
    'updated_at', 'replayed_by', 'reason', 'id')
  local state, portal, next_at = kept[9] and kept[1], kept[2], kept[4]
  if state == 'dead' then
    local by_person = kept[8] == 'cancelled' or kept[8] == 'settled_by_person'
    if not by_person and (not kept[7] or kept[7] == '') then redis.call('ZADD', KEY.buried, 0, id) end
  elseif state and has_clock then
    local at = next_at ~= '' and next_at or now
    if state == 'pending' or state == 'retrying' then
      at = next_at ~= '' and next_at or kept[5]
    elseif state == 'sending' then
      at = tonumber(kept[6]) + holds
    elseif redis.call('ZSCORE', KEY.clock, id) == 'inf' then
      at = ''
    end
    redis.call('SADD', KEY.portals, portal)
    leave_place(id, portal, state)
    place(id, portal, state, at, kept[3])
  end
end
return #ARGV - 2
