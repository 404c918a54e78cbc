#!lua flags=allow-oom
-- Claim comments that may be sent to a portal now, the oldest first. From here on each counts as missing, until its worker
-- says otherwise (said.lua): a worker that dies leaves it so, and nobody sends it again.
-- KEYS[1] the waiting comments of the portal
-- ARGV    portal · now in ms · how many at most · name of the call: sent again after a lost answer, it gets the same
-- Returns a list of hashes with their ids (field, value, ...). One that must not be in a batch comes alone.

local portal, now, limit, name = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local said = {}
local function add(id)
  local row = redis.call('HGETALL', KEY.delivery .. id)
  row[#row + 1], row[#row + 2] = 'id', id
  said[#said + 1] = row
end

local before = redis.call('GET', KEY.told .. name)
if before then
  for _, taken in ipairs(cjson.decode(before)) do
    local kept = redis.call('HMGET', KEY.delivery .. taken[1], 'comment', 'comment_tries')
    if kept[1] == 'missing' and tonumber(kept[2]) == taken[2] then add(taken[1]) end
  end
  return said
end

-- The gate may have closed since this worker looked.
if not is_open(portal) then return {} end

local taken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, limit)) do
  local key = KEY.delivery .. id
  local kept = redis.call('HMGET', key, 'comment', 'comment_alone')
  local alone = kept[2] == '1'
  if alone and #said > 0 then break end
  redis.call('ZREM', KEYS[1], id)
  if kept[1] == 'waiting' then
    redis.call('HSET', key, 'comment', 'missing', 'comment_reason', 'comment_unknown', 'comment_at', now)
    taken[#taken + 1] = {id, redis.call('HINCRBY', key, 'comment_tries', 1)}
    add(id)
    if alone then break end
  end
end
if #said > 0 then
  count_promise()
  redis.call('SET', KEY.told .. name, cjson.encode(taken), 'PX', 60000)
end
return said
