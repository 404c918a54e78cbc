-- Precedes every script. scripts.py fills KEY from keys.py and queue/jobs.py.

-- Notify a worker of this portal: one RQ job on its queue, unless one waits there. The job says only that there is work;
-- the record holds the work, so a lost or surplus job does no harm. It has the fields of RQ's jobs that a worker reads
-- (rq/job.py to_dict).
local function notify(portal)
  local queue = KEY.queue .. portal
  if redis.call('LLEN', queue) > 0 then return 0 end
  local id = 'serve-' .. portal .. '-' .. redis.call('INCR', KEY.wakes)
  redis.call('HSET', KEY.job .. id, 'data', cjson.encode({KEY.serve, cjson.null, {portal}, {}}), 'status', 'queued',
    'origin', KEY.queue_name .. portal, 'timeout', KEY.job_timeout_s, 'result_ttl', 0, 'failure_ttl', KEY.failure_ttl_s)
  -- Without an expiry, a kill between queue and end would leave it for ever.
  redis.call('EXPIRE', KEY.job .. id, KEY.failure_ttl_s)
  redis.call('SADD', KEY.queues, queue)
  redis.call('RPUSH', queue, id)
  return 1
end

local function is_open(portal)
  local state = redis.call('HGET', KEY.gate .. portal, 'state')
  return not state or state == 'open'
end

-- The same, where the portal may be called: while its gate is closed, the clock notifies (notify.lua).
local function notify_where_open(portal)
  if is_open(portal) then notify(portal) end
end

-- The last twentieth of the server's memory is for finishing accepted work: outcomes, leases, RQ's own keys, a login.
-- A script that accepts new work asks for room first. Returns an error, or nil. Checked ten times a second: it costs 20 us.
local RESERVE, LOOKED_MS = 0.05, 100
local function refuse_when_full()
  local full = redis.call('GET', KEY.full)
  if not full then
    local told = redis.call('INFO', 'memory')
    local used, most = string.match(told, 'used_memory:(%d+)'), string.match(told, 'maxmemory:(%d+)')
    full = (most and tonumber(most) > 0 and tonumber(used) > (1 - RESERVE) * tonumber(most)) and '1' or '0'
    redis.call('SET', KEY.full, full, 'PX', LOOKED_MS)
  end
  if full == '1' then return redis.error_reply('OOM the rest of the memory is for what was taken before') end
  return nil
end

local function is_due(index, now)
  return #redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 1) > 0
end

-- Counts are added up and written once, at the end of a script.
--   count: since the beginning   stand: ids on record now, of kinds without an index
--   tally: of this minute and hour, for charts (store/record/statistics.py)   happen: both, count and tally
--   number: of this hour, by source, rule, portal and template, as long as events are kept; events have a source alone
--   (store/record/statistics.py)
local counted, standing, tallied, numbered = {}, {}, {}, {}
local function count(field, by) counted[field] = (counted[field] or 0) + (by or 1) end
local function stand(field, by) standing[field] = (standing[field] or 0) + by end
local function tally(field, by) tallied[field] = (tallied[field] or 0) + (by or 1) end
local function happen(field)
  count(field)
  tally(field)
end
local function number(what, source, rule, portal, template)
  local field = table.concat({source or '', rule, portal, template or '', what}, ':')
  numbered[field] = (numbered[field] or 0) + 1
end

-- Count a promise, a receipt or a claim. The count reveals a rollback; the record's name, set with the first promise,
-- reveals another record (store/portals/rollback.py). Outcomes do not count: a forgotten one is reconciled.
local function count_promise()
  if redis.call('HINCRBY', KEY.high_water, 'promises', 1) > 1 then return end
  local time = redis.call('TIME')
  redis.call('HSET', KEY.high_water, 'id', string.sub(redis.sha1hex(time[1] .. time[2] .. (ARGV[3] or '')), 1, 16))
end

local function write_lasting(key, counts, ttl)
  for field, by in pairs(counts) do
    if redis.call('HINCRBY', key, field, by) == by then redis.call('EXPIRE', key, ttl) end
  end
end

local function write_numbers(hour)
  local is_new = false
  for field, by in pairs(numbered) do
    if redis.call('HINCRBY', KEY.hourly .. hour, field, by) == by then is_new = true end
  end
  if is_new then redis.call('ZADD', KEY.hours_counted, hour, hour) end
end

local function write_counts()
  for field, by in pairs(counted) do redis.call('HINCRBY', KEY.ledger, field, by) end
  for field, by in pairs(standing) do
    if redis.call('HINCRBY', KEY.counters, field, by) == 0 then redis.call('HDEL', KEY.counters, field) end
  end
  if not next(tallied) and not next(numbered) then return end
  local now = tonumber(redis.call('TIME')[1])
  local minute, hour = math.floor(now / 60), math.floor(now / 3600)
  write_lasting(KEY.minute .. minute, tallied, 10800)
  write_lasting(KEY.hour .. hour, tallied, 691200)
  write_numbers(hour)
end

-- Add an id to the index of its state, or remove it. Most events are accepted and most deliveries started: these two
-- states have no index, and are counted.
local IS_COUNTED = {accepted = true, started = true}
local function enter_state(indexes, state, id)
  if IS_COUNTED[state] then stand(state, 1) else redis.call('ZADD', indexes .. state, 0, id) end
end

local function leave_state(indexes, state, id)
  if IS_COUNTED[state] then stand(state, -1) else redis.call('ZREM', indexes .. state, id) end
end

-- A script adds all ids that it creates to an index at once, which saves commands.
--   index -> {score, id, score, id, ...}
local entered = {}
local function enter(index, score, id)
  local all = entered[index]
  if not all then
    all = {}
    entered[index] = all
  end
  all[#all + 1] = score
  all[#all + 1] = id
end

local MOST_UNPACKED = 4000 -- what Lua can hand over at once ends at some 8000
local function write_entered()
  for index, all in pairs(entered) do
    for first = 1, #all, MOST_UNPACKED do
      redis.call('ZADD', index, unpack(all, first, math.min(first + MOST_UNPACKED - 1, #all)))
    end
  end
  entered = {}
end

-- Add an id's period, half a minute, to an index of periods: the first seven digits of its time. A common value has no
-- index of ids: a search goes through its periods (walk.lua).
local noted = {}
local function period_of(id) return string.sub(id, 5, 11) end
local function note(index, id)
  local period = period_of(id)
  if noted[index] == period then return end
  noted[index] = period
  if redis.call('ZADD', index, 0, period) == 1 then redis.call('SADD', KEY.facets, index) end
end

local function note_delivery(id, facet, value)
  if value and value ~= '' then note(KEY.deliveries_by .. facet .. ':' .. value, id) end
end

-- The time in an id, in ms (core/ids.py).
local DIGITS = '0123456789abcdefghjkmnpqrstvwxyz'
local function time_of(id)
  local time = 0
  for place = 5, 14 do time = time * 32 + string.find(DIGITS, string.sub(id, place, place), 1, true) - 1 end
  return time
end

local function is_first(id, order)
  return not order or order == '' or redis.call('ZRANGE', KEY.order .. order, 0, 0)[1] == id
end

-- The first delivery of an order is final: the next one may be sent or reconciled, at its time.
local function release(portal, order)
  local following = redis.call('ZRANGE', KEY.order .. order, 0, 0)[1]
  if not following then return end
  local send_at = redis.call('ZSCORE', KEY.blocked .. portal, following)
  if send_at then
    redis.call('ZREM', KEY.blocked .. portal, following)
    redis.call('ZADD', KEY.waiting .. portal, send_at, following)
    notify_where_open(portal)
  elseif redis.call('ZSCORE', KEY.doubtful .. portal, following) == 'inf' then
    redis.call('ZADD', KEY.doubtful .. portal, redis.call('HGET', KEY.delivery .. following, 'next_attempt_at'), following)
    notify_where_open(portal)
  end
end

-- Add an open delivery to exactly one index, by its state.
--   at: pending, retrying: when it may be sent; sending: when its claim lapses; uncertain: when it is reconciled next, or
--   '' where only a person can decide. Reconciling may send, so a delivery behind an older one of its order has an
--   infinite time until that one is final (`release`).
local function place(id, portal, state, at, order)
  if state == 'pending' or state == 'retrying' then
    redis.call('ZADD', (is_first(id, order) and KEY.waiting or KEY.blocked) .. portal, at, id)
  elseif state == 'sending' then
    redis.call('ZADD', KEY.sending, at, id)
  elseif at == '' then
    redis.call('ZADD', KEY.undecided, 0, id)
  else
    redis.call('ZADD', KEY.doubtful .. portal, is_first(id, order) and at or '+inf', id)
  end
end

local function leave_place(id, portal, state)
  if state == 'sending' then
    redis.call('ZREM', KEY.sending, id)
  elseif state == 'uncertain' then
    if redis.call('ZREM', KEY.doubtful .. portal, id) == 0 then redis.call('ZREM', KEY.undecided, id) end
  elseif redis.call('ZREM', KEY.waiting .. portal, id) == 0 then
    redis.call('ZREM', KEY.blocked .. portal, id)
  end
end

-- Move a delivery to another state, with all consequences. at: as for `place`. order: its order key, if any.
local function move(id, portal, from, to, at, order)
  if from ~= to then
    leave_state(KEY.deliveries_by_state, from, id)
    enter_state(KEY.deliveries_by_state, to, id)
  end
  if from == 'dead' then redis.call('ZREM', KEY.buried, id) else leave_place(id, portal, from) end
  if to ~= 'started' and to ~= 'dead' then
    place(id, portal, to, at, order)
  elseif order and order ~= '' then
    redis.call('ZREM', KEY.order .. order, id)
    release(portal, order)
  end
end

-- Count a final delivery: since the beginning, of this minute and hour, and by source, rule, portal and template.
--   took: how long the sender's event waited for its workflow, in ms; nil of one that a person settled, which says
--   nothing about the relay. store/record/ledger.py has the bounds; what is longer is counted as `more`.
local BOUNDS = {100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 600000, 3600000}
local function count_final(state, source, rule, portal, template, took)
  happen('delivery:' .. state)
  if state == 'dead' then return number('dead', source, rule, portal, template) end
  if not took then
    tally('latency:settled')
    return number('settled', source, rule, portal, template)
  end
  local below = 'more'
  for _, bound in ipairs(BOUNDS) do
    if took <= bound then
      below = bound
      break
    end
  end
  tally('started:' .. portal)
  for name, by in pairs({ms = took, [below] = 1}) do
    tally('latency:' .. name, by)
    count('latency:' .. portal .. ':' .. name, by)
  end
  number(below, source, rule, portal, template)
end

-- Count a delivery that is final or uncertain. After a start, begin to wait for its end, and let its comment be sent.
local function conclude(id, to, now)
  local key = KEY.delivery .. id
  local kept = redis.call('HMGET', key, 'event_id', 'rule', 'portal', 'template_id', 'watch_state', 'facts', 'settled',
    'comment')
  local source = redis.call('HGET', KEY.event .. kept[1], 'source')
  if to == 'uncertain' then
    tally('delivery:uncertain')
    return number('uncertain', source, kept[2], kept[3], kept[4])
  end
  local took = not kept[7] and math.max(0, math.floor(tonumber(now) - time_of(id))) or nil
  count_final(to, source, kept[2], kept[3], kept[4], took)
  if to == 'dead' then return end
  if kept[8] == 'waiting' then redis.call('ZADD', KEY.comments .. kept[3], now, id) end
  if kept[5] == 'waiting' then
    local till = string.format('%.0f', tonumber(now) + 1000 * cjson.decode(kept[6]).watch.within_s)
    redis.call('HSET', key, 'watch_until', till)
    redis.call('ZADD', KEY.awaited, till, id)
  end
end

-- Write into the outbox of each address that is told of this state that a delivery has come to it. In the same script, so
-- that a kill loses none. needs_person: only a person can decide it (store/operators/outbox.py).
local MOST_UNSENT = 50000
local function announce(id, state, now, needs_person)
  local addresses = redis.call('HGETALL', KEY.subscribers)
  local entry
  for i = 1, #addresses, 2 do
    local till, states = string.match(addresses[i + 1], '^(%d+)(.*)$')
    if tonumber(till) > tonumber(now) and string.find(states, ' ' .. state .. ' ', 1, true) then
      if not entry then
        local kept = redis.call('HMGET', KEY.delivery .. id, 'event_id', 'rule', 'portal', 'template_id', 'reason',
          'workflow_id')
        for place = 1, 6 do kept[place] = kept[place] or '' end
        entry = cjson.encode({id = id, state = state, at = now, needs_person = needs_person, event_id = kept[1],
          rule = kept[2], portal = kept[3], template_id = kept[4], reason = kept[5], workflow_id = kept[6],
          source = redis.call('HGET', KEY.event .. kept[1], 'source') or ''})
      end
      local outbox = KEY.outbox .. addresses[i]
      if redis.call('ZCARD', outbox) < MOST_UNSENT then
        redis.call('ZADD', outbox, now, entry)
        redis.call('PEXPIREAT', outbox, till)
      else
        redis.call('HINCRBY', KEY.events_lost, addresses[i], 1)
      end
    end
  end
end

-- A person has resolved an overdue delivery. Returns whether it was overdue. Its end may still come.
local function leave_overdue(id)
  local was = redis.call('ZREM', KEY.overdue, id)
  if was == 1 then redis.call('HSET', KEY.delivery .. id, 'watch_state', 'left') end
  return was
end

-- Add a field and its value for HSET; empty ones are not written.
local function put(flat, name, value)
  if value == '' then return end
  flat[#flat + 1] = name
  flat[#flat + 1] = value
end

-- Add the fields and values that stand in ARGV from this index on, with their count before them; by name, too.
-- Returns the index after them.
local function put_further(flat, first, by_name)
  local last = first + tonumber(ARGV[first])
  for i = first + 1, last, 2 do
    put(flat, ARGV[i], ARGV[i + 1])
    by_name[ARGV[i]] = ARGV[i + 1]
  end
  return last + 1
end

-- Write a new event: its hash and indexes. flat: its fields and values. marks: its person keys as JSON, if any.
local function create_event(id, state, source, flat, marks)
  redis.call('HSET', KEY.event .. id, unpack(flat))
  enter(KEY.events, 0, id)
  enter_state(KEY.events_by_state, state, id)
  if state == 'rejected' then redis.call('ZADD', KEY.unmended, 0, id) end
  stand('source:' .. source, 1)
  note(KEY.events_by_source .. source, id)
  happen('event:' .. state)
  tally('source:' .. source .. ':' .. state)
  number(state, source, '', '')
  if marks then
    for _, mark in ipairs(cjson.decode(marks)) do redis.call('ZADD', KEY.person_index .. mark, 0, id) end
  end
end

-- Write a new delivery of an event from this source from ARGV, from this index on:
--   id · send_at, or '' of one that is dead from the beginning · event id · rule · portal · template id · document
--   order key · call · facts · count · field, value, ... that most have not
-- Returns the index after it. It does not read back what it wrote, which matters for an event with ten deliveries.
local met = {}
local function create(first, source)
  local id, send_at, event, rule, portal, template_id, document, order, call, facts = unpack(ARGV, first, first + 9)
  local further, state = {}, send_at == '' and 'dead' or 'pending'
  local flat = {'state', state, 'turn', 1, 'event_id', event, 'rule', rule, 'portal', portal, 'call', call}
  put(flat, 'template_id', template_id)
  put(flat, 'document', document)
  put(flat, 'order_key', order)
  put(flat, 'facts', facts)
  local following = put_further(flat, first + 10, further)
  redis.call('HSET', KEY.delivery .. id, unpack(flat))
  enter(KEY.deliveries, 0, id)
  enter(KEY.deliveries_by_state .. state, 0, id)
  count('delivery:created')
  number('made', source, rule, portal, template_id)
  stand('rule:' .. rule, 1)
  note_delivery(id, 'rule', rule)
  note_delivery(id, 'portal', portal)
  note_delivery(id, 'template_id', template_id)
  if state == 'dead' then
    enter(KEY.buried, 0, id)
    note_delivery(id, 'reason', further.reason)
    count_final('dead', source, rule, portal, template_id)
    announce(id, 'dead', string.format('%.0f', time_of(id)), false)
    return following
  end
  if document ~= '' then redis.call('ZADD', KEY.deliveries_by_document .. document, 0, id) end
  if order ~= '' then redis.call('ZADD', KEY.order .. order, 0, id) end
  if further.address_digest then redis.call('HSET', KEY.addresses, further.address_digest, id) end
  enter((is_first(id, order) and KEY.waiting or KEY.blocked) .. portal, send_at, id)
  met[portal] = true
  return following
end

-- Finish a script that created ids: write the indexes and the portals, and notify the workers.
local function finish_creating()
  write_entered()
  for portal in pairs(met) do
    redis.call('SADD', KEY.portals, portal)
    notify_where_open(portal)
  end
end
