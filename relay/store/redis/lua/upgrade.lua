#!lua flags=allow-oom
-- Put deliveries of the first layout, which stood on one clock, where those of later ones stand.
-- ARGV    now in ms · how long a claim holds, in ms · delivery id, ...
-- Running it twice is safe: a delivery leaves its place before it is given one. What has no field `id` has been laid out;
-- it is placed only where old processes have moved it on their clock since.

local now, holds = ARGV[1], tonumber(ARGV[2])

local function has_place(id, portal)
  for _, index in ipairs({KEY.waiting .. portal, KEY.blocked .. portal, KEY.doubtful .. portal, KEY.sending, KEY.undecided}) do
    if redis.call('ZSCORE', index, id) then return true end
  end
  return false
end

for i = 3, #ARGV do
  local id = ARGV[i]
  local kept = redis.call('HMGET', KEY.delivery .. id, 'state', 'portal', 'order_key', 'next_attempt_at', 'created_at',
    'updated_at', 'replayed_by', 'reason', 'id')
  local state, portal, next_at, is_old = kept[1], kept[2], kept[4], kept[9]
  if state == 'dead' then
    local by_person = kept[8] == 'cancelled' or kept[8] == 'settled_by_person'
    if is_old and not by_person and (not kept[7] or kept[7] == '') then redis.call('ZADD', KEY.buried, 0, id) end
  elseif state and (is_old or not has_place(id, portal)) then
    local at = next_at and next_at ~= '' and next_at
    if state == 'pending' or state == 'retrying' then
      at = at or kept[5] or now
    elseif state == 'sending' then
      at = tonumber(kept[6]) + holds
    elseif state == 'uncertain' and redis.call('ZSCORE', KEY.clock, id) == 'inf' then
      at = ''
    end
    at = at or now
    redis.call('SADD', KEY.portals, portal)
    leave_place(id, portal, state)
    place(id, portal, state, at, kept[3])
  end
end
return #ARGV - 2
