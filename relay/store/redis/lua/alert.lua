#!lua flags=allow-oom
-- Keep an alert. It may run on a full server, since only the newest are kept.
-- KEYS[1] the alerts   ARGV  how many are kept, at least · field, value, ...

redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 2))
return 1
