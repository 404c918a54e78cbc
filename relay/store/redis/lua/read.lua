#!lua flags=no-writes
-- Several reads at one moment. A transaction would do, but Redis 7.0 refuses its reads while it is full.
-- ARGV    for each read: how many words it has · command, argument, ...
-- Returns the answer to each.

local answers, at = {}, 1
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  answers[#answers + 1] = redis.call(unpack(ARGV, at + 1, last))
  at = last + 1
end
return answers
