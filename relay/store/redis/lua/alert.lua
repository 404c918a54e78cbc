#!lua flags=allow-oom
-- Keep something that a person should know. There is room for it on a full server too: only the newest are kept.
-- KEYS[1] the alerts   ARGV  how many are kept, at least · field, value, ...

redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 2))
return 1
