-- Close or open a portal's gate. A person's word stands above a timer, and a held gate above a pause.
-- KEYS[1] the gate
-- ARGV    state to come: open, paused, held · reason · advice · now in ms · until in ms, or '' · 1: by a person
--         first pause in ms and longest pause in ms, doubling with each failure in a row; or 0 and 0
-- Returns 1 where the state or its reason changed, else 0.

local to, reason, advice, now, till, person = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6] == '1'
local kept = redis.call('HMGET', KEYS[1], 'state', 'reason', 'by_person', 'streak', 'until')
local from = kept[1] or 'open'

if not person then
  if from == 'held' and to == 'paused' then return 0 end
  if from == 'paused' and kept[3] == '1' then return 0 end
end

local streak = 0
if tonumber(ARGV[7]) > 0 then
  streak = tonumber(kept[4] or 0) + 1
  till = now + math.min(tonumber(ARGV[7]) * 2 ^ math.min(streak - 1, 30), tonumber(ARGV[8]))
end
if to == 'open' then
  redis.call('DEL', KEYS[1])
  return from ~= 'open' and 1 or 0
end
if from == to and kept[2] == reason then
  redis.call('HSET', KEYS[1], 'until', till, 'streak', streak)
  return 0
end
redis.call('HSET', KEYS[1], 'state', to, 'reason', reason, 'advice', advice, 'since', now, 'until', till,
  'streak', streak, 'by_person', person and '1' or '0')
return 1
