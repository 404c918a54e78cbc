#!lua flags=allow-oom
-- Move deliveries from the one clock of the first layout to the indexes of later ones.
-- ARGV    now in ms · how long a claim holds, in ms · 1: only those without an index · delivery id, ...
-- Running it twice is safe: a delivery leaves its index before it enters one. One without a field `id` was changed before.
-- Without the clock, the upgrade was finished before; but processes of the first version may have moved deliveries since,
-- which then have no index.

local now, holds, only_lost = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local has_clock = redis.call('EXISTS', KEY.clock) == 1

local function has_place(id, portal)
  for _, index in ipairs({KEY.waiting .. portal, KEY.blocked .. portal, KEY.doubtful .. portal, KEY.sending, KEY.undecided}) do
    if redis.call('ZSCORE', index, id) then return true end
  end
  return false
end

for i = 4, #ARGV do
  local id = ARGV[i]
  local kept = redis.call('HMGET', KEY.delivery .. id, 'state', 'portal', 'order_key', 'next_attempt_at', 'created_at',
    'updated_at', 'replayed_by', 'reason', 'id')
  local state, portal, next_at, is_old = kept[1], kept[2], kept[4], kept[9]
  if state == 'dead' then
    local by_person = kept[8] == 'cancelled' or kept[8] == 'settled_by_person'
    if is_old and not by_person and (not kept[7] or kept[7] == '') then redis.call('ZADD', KEY.buried, 0, id) end
  elseif state and ((is_old and has_clock and not only_lost) or (only_lost and not has_place(id, portal))) then
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
return #ARGV - 3
