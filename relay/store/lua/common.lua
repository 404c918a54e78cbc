-- Comes before every script. KEY is filled by scripts.py from keys.py.

-- Write an RQ job and put it on its queue now, or into the registry of scheduled jobs. What RQ's own scripts for
-- unique enqueueing and scheduling do (rq/scripts.py), without a second round trip.
--   job: {id, job_key, queue_key, schedule_key, at_s ("0": now), n, field, value, ...} from ARGV[first]
-- Returns the index after the job.
local function enqueue(argv, first)
  local id, job_key, queue_key, schedule_key = argv[first], argv[first + 1], argv[first + 2], argv[first + 3]
  local at, count = tonumber(argv[first + 4]), tonumber(argv[first + 5])
  local last = first + 5 + count
  redis.call('HSET', job_key, unpack(argv, first + 6, last))
  redis.call('SADD', 'rq:queues', queue_key)
  if at > 0 then
    redis.call('ZADD', schedule_key, at, id)
  else
    redis.call('RPUSH', queue_key, id)
  end
  return last + 1
end

-- Add to the counts of this minute and this hour, which pages draw (store/statistics.py). They forget themselves.
local function tally(field, by)
  local now = tonumber(redis.call('TIME')[1])
  for key, ttl in pairs({[KEY.minute .. math.floor(now / 60)] = 10800, [KEY.hour .. math.floor(now / 3600)] = 691200}) do
    if redis.call('HINCRBY', key, field, by) == by then redis.call('EXPIRE', key, ttl) end
  end
end

-- Move a delivery to another state with everything that follows from it.
--   send_at: when it may be sent (pending, retrying); look_at: when somebody must have looked at it (not final)
local function move(id, portal, from, to, send_at, look_at)
  redis.call('ZREM', KEY.deliveries_by_state .. from, id)
  redis.call('ZADD', KEY.deliveries_by_state .. to, 0, id)
  if to == 'pending' or to == 'retrying' then
    redis.call('ZADD', KEY.waiting .. portal, send_at, id)
  else
    redis.call('ZREM', KEY.waiting .. portal, id)
  end
  if to == 'started' or to == 'dead' then
    redis.call('ZREM', KEY.clock, id)
    local order = redis.call('HGET', KEY.delivery .. id, 'order_key')
    if order and order ~= '' then redis.call('ZREM', KEY.order .. order, id) end
  else
    redis.call('ZADD', KEY.clock, look_at, id)
  end
end

-- Put a delivery into the indexes by what it is about, or take it out.
local FACETS = {'rule', 'portal', 'template_id', 'document', 'reason'}
local function index(id, command)
  local values = redis.call('HMGET', KEY.delivery .. id, unpack(FACETS))
  for i, facet in ipairs(FACETS) do
    if values[i] and values[i] ~= '' then
      local key = KEY.deliveries_by .. facet .. ':' .. values[i]
      if command == 'ZADD' then redis.call('ZADD', key, 0, id) else redis.call('ZREM', key, id) end
    end
  end
end

-- Write a new delivery with its job, both from ARGV[first]:
--   id · portal · send_at · look_at · count · field, value, ... · job
-- Returns the index after them.
local function create(argv, first)
  local id, portal, send_at, look_at = argv[first], argv[first + 1], argv[first + 2], argv[first + 3]
  local last = first + 4 + tonumber(argv[first + 4])
  redis.call('HSET', KEY.delivery .. id, unpack(argv, first + 5, last))
  redis.call('ZADD', KEY.deliveries, 0, id)
  redis.call('HINCRBY', KEY.ledger, 'delivery:created', 1)
  index(id, 'ZADD')
  local order = redis.call('HGET', KEY.delivery .. id, 'order_key')
  if order ~= '' then redis.call('ZADD', KEY.order .. order, 0, id) end
  move(id, portal, 'pending', 'pending', send_at, look_at)
  return enqueue(argv, last + 1)
end
