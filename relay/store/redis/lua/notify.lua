#!lua flags=allow-oom
-- The clock: notify a worker of every portal where something can be done now.
-- ARGV    now in ms · portal, ...
-- Returns how many were notified.

local now, notified = ARGV[1], 0
for i = 2, #ARGV do
  local portal = ARGV[i]
  local gate = redis.call('HMGET', KEY.gate .. portal, 'state', 'until')
  local is_open = not gate[1] or gate[1] == 'open'
  -- A closed gate whose time has come is something to do: the portal is asked whether it is well.
  local to_ask = not is_open and gate[2] ~= '' and tonumber(gate[2]) <= tonumber(now)
  local due = is_due(KEY.waiting .. portal, now) or is_due(KEY.doubtful .. portal, now)
  local asked = redis.call('LLEN', KEY.questions .. portal) > 0 or is_due(KEY.openings .. portal, now)
  if to_ask or (is_open and due) or asked then
    notified = notified + notify(portal)
  end
end
return notified
