#!lua flags=allow-oom
-- Close or open a portal's gate. A person's pause outranks a timer until its end, if it has one, and a held gate outranks
-- a pause.
-- KEYS[1] the gate
-- ARGV    portal · state to come: open, paused, held · reason · now in ms · until in ms, or ''
--         version that the caller has seen, or '' for a person
--         1: the failure is one more in a row · first pause in ms and longest pause in ms, doubling with each of them
--         1: the streak of failures is over
-- Returns 1 where the state or its reason changed, else 0.

local portal, to, reason, now, till = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local is_person = ARGV[6] == ''
local kept = redis.call('HMGET', KEYS[1], 'state', 'reason', 'by_person', 'streak', 'since', 'version', 'until', 'before')
local from, streak, since = kept[1] or 'open', tonumber(kept[4] or 0), kept[5]
local is_of_person = kept[3] == '1'

if not is_person then
  -- A call that began before the gate last moved says nothing about how it stands now.
  if tonumber(ARGV[6]) ~= tonumber(kept[6] or 0) then return 0 end
  if from == 'held' and to == 'paused' then return 0 end
  if from == 'paused' and is_of_person and (kept[7] == '' or tonumber(kept[7]) > now) then return 0 end
end

-- Trouble that returns before a success is the same trouble; a person's pause is not trouble.
if not since or (from ~= to and streak == 0) or is_person or is_of_person then since = now end
if ARGV[7] == '1' then
  streak = streak + 1
  till = now + math.min(tonumber(ARGV[8]) * 2 ^ math.min(streak - 1, 30), tonumber(ARGV[9]))
end
-- Held for the same reason as before without a success in between: that was reported.
local is_same = from == 'open' and streak > 0 and kept[2] == reason
if to == 'held' then streak = streak + 1 end
if ARGV[10] == '1' then streak = 0 end
if to == 'open' and streak > 0 then reason = kept[2] end
redis.call('HSET', KEYS[1], 'state', to, 'reason', reason, 'since', since, 'until', till,
  'streak', streak, 'by_person', (is_person and to ~= 'open') and '1' or '0')
redis.call('HINCRBY', KEYS[1], 'version', 1)
-- Keep a person's former pause, to report it to the person who resumes.
if is_person and to == 'paused' and from == 'paused' and is_of_person and reason ~= kept[2] then
  if not kept[8] then redis.call('HSET', KEYS[1], 'before', kept[7] == '' and 'ever' or kept[7]) end
elseif to == 'open' then
  redis.call('HDEL', KEYS[1], 'before')
end
if to == 'open' then
  notify(portal)
  return from ~= 'open' and 1 or 0
end
return (from ~= to or kept[2] ~= reason) and not (to == 'held' and is_same) and 1 or 0
