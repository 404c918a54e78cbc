-- Record the entries of several requests: of each request all events with their deliveries, once, or none.
-- ARGV    number of requests, then each: number of events, then each of them:
--         event id · state · source · count of claims, and of each: key · window in ms · how many more may have it
--         bounds as JSON (see entries.py), or '' · body · facts · ids of its deliveries as JSON, or ''
--         count · field, value, ... of the others
--         number of deliveries, then each (see `create` in common.lua)
-- Returns for each request an error, or for each of its events 0: recorded as it was sent, or
-- {id of the recorded event, state, delivery ids as JSON, 0 or 1: duplicate}.
-- The error `LIMITED seconds` means that nothing was recorded. One script a request makes it all or nothing.

local function receipt(id, seen)
  local kept = redis.call('HMGET', KEY.event .. id, 'state', 'deliveries')
  return {id, kept[1], kept[2] or '', seen}
end

-- The event in ARGV from this index on, and the index after it.
local function entry_at(first)
  local id, state, source, count = unpack(ARGV, first, first + 3)
  local entry = {id = id, state = state, source = source, claims = {}, further = {}}
  local at = first + 4
  for number = 1, tonumber(count) do
    entry.claims[number] = {key = ARGV[at], window = ARGV[at + 1], more = tonumber(ARGV[at + 2])}
    at = at + 3
  end
  local bounds, body, facts, deliveries = unpack(ARGV, at, at + 3)
  entry.bounds = bounds ~= '' and cjson.decode(bounds)
  entry.size = #body + #facts
  entry.flat = {'state', state, 'source', source, 'body', body, 'facts', facts}
  put(entry.flat, 'deliveries', deliveries)
  at = put_further(entry.flat, at + 4, entry.further)
  for _, value in pairs(entry.further) do entry.size = entry.size + #value end
  entry.deliveries, entry.created = tonumber(ARGV[at]), at + 1
  at = at + 1
  for _ = 1, entry.deliveries do at = at + 11 + tonumber(ARGV[at + 10]) end
  return entry, at
end

-- Whether an event is on record already, or an earlier one with one of its claims.
local function is_known(entry)
  for _, one in ipairs(entry.claims) do
    if one.more == 0 and redis.call('EXISTS', one.key) == 1 then return true end
  end
  return #entry.claims == 0 and redis.call('EXISTS', KEY.event .. entry.id) == 1
end

-- The rate limit of a source. A duplicate adds nothing and does not count. A request is accepted whole; one larger than
-- the limit of a minute is accepted in a minute without others.
local function limit(entries)
  local bounds, events, size = entries[1] and entries[1].bounds, 0, 0
  if not bounds or bounds.events == 0 then return nil end
  for _, entry in ipairs(entries) do
    if not is_known(entry) then
      events = events + 1
      size = size + entry.size
    end
  end
  if events == 0 then return nil end
  local now = tonumber(redis.call('TIME')[1])
  local kind = entries[1].state == 'refused' and ':refused:' or ':'
  local key = KEY.spent .. entries[1].source .. kind .. math.floor(now / 60)
  local spent = redis.call('HMGET', key, 'events', 'bytes')
  local before = tonumber(spent[1] or 0)
  if (before > 0 and before + events > bounds.events) or tonumber(spent[2] or 0) >= bounds.bytes then
    return redis.error_reply('LIMITED ' .. 60 - now % 60)
  end
  redis.call('HINCRBY', key, 'events', events)
  redis.call('HINCRBY', key, 'bytes', size)
  redis.call('EXPIRE', key, 120)
  return nil
end

-- The id of the earlier event with one of its claims; nil for the first, which claims all. A duplicate claims nothing, or
-- a captured signature could fill the record with keys.
local function claim(entry)
  local taken = {}
  for _, one in ipairs(entry.claims) do
    if redis.call('SET', one.key, entry.id, 'NX', 'PX', one.window) then
      taken[#taken + 1] = one.key
    else
      local first = redis.call('GET', one.key)
      if redis.call('EXISTS', KEY.event .. first) == 0 then
        -- The earlier event was pruned before its window ended: this one replaces it.
        redis.call('SET', one.key, entry.id, 'PX', one.window)
      elseif one.more == 0 or redis.call('HINCRBY', KEY.event .. first, 'beside', 1) > one.more then
        if #taken > 0 then redis.call('DEL', unpack(taken)) end
        return first
      end
    end
  end
  return nil
end

-- Unauthenticated senders must not fill the record: the oldest events of the source make room, but never one with
-- deliveries.
local function make_room(entry)
  local source, bounds = entry.source, entry.bounds
  local queue = KEY.unproven .. source
  local kept = redis.call('RPUSH', queue, entry.size .. ' ' .. entry.id)
  local held = redis.call('HINCRBY', KEY.unproven_bytes, source, entry.size)
  while kept > bounds.kept or (held > bounds.kept_bytes and kept > 1) do
    write_entered() -- what goes may have come in this very script
    local old_size, old = string.match(redis.call('LPOP', queue), '^(%d+) (.+)$')
    kept = kept - 1
    held = redis.call('HINCRBY', KEY.unproven_bytes, source, -old_size)
    local was = redis.call('HMGET', KEY.event .. old, 'state', 'deliveries', 'marks')
    if was[1] and not was[2] then
      for _, mark in ipairs(cjson.decode(was[3] or '[]')) do redis.call('ZREM', KEY.person_index .. mark, old) end
      redis.call('DEL', KEY.event .. old)
      redis.call('ZREM', KEY.events, old)
      leave_state(KEY.events_by_state, was[1], old)
      redis.call('ZREM', KEY.unmended, old)
      stand('source:' .. source, -1)
    end
  end
end

local function record(entry)
  local id, state, source, key = entry.id, entry.state, entry.source, KEY.event .. entry.id
  -- The same command again after a lost answer: it was done.
  if redis.call('EXISTS', key) == 1 then return receipt(id, 0) end
  local first = claim(entry)
  if first then
    redis.call('HINCRBY', KEY.event .. first, 'duplicates', 1)
    happen('event:duplicate')
    number('duplicate', source, '', '')
    return receipt(first, 1)
  end
  create_event(id, state, source, entry.flat, entry.further.marks)
  local at = entry.created
  for _ = 1, entry.deliveries do at = create(at, source) end
  if entry.bounds and entry.bounds.kept > 0 then make_room(entry) end
  return 0
end

local function record_all(entries)
  local refused = limit(entries)
  if refused then return refused end
  local receipts = {}
  for number, entry in ipairs(entries) do receipts[number] = record(entry) end
  return receipts
end

-- An error of the server is the answer to every request; it also tells a client of a failover.
local OF_SERVER = {READONLY = true, MISCONF = true, NOREPLICAS = true}

local refusal = refuse_when_full()
if refusal then return refusal end

local answers, at = {}, 2
for number = 1, tonumber(ARGV[1]) do
  local entries, size = {}, tonumber(ARGV[at])
  at = at + 1
  for place = 1, size do entries[place], at = entry_at(at) end
  local is_done, answer = pcall(record_all, entries)
  if not is_done then
    local text = type(answer) == 'table' and answer.err or answer
    if OF_SERVER[string.match(text, '^%u+')] then return redis.error_reply(text) end
    answer = redis.error_reply(text)
  end
  answers[number] = answer
end
if next(counted) then count_promise() end
finish_creating()
write_counts()
return answers
