#!/bin/sh
# Writes the users of the record's server for relay-record.service, before it starts and when it is reloaded.
# Their passwords are in the addresses of web and workers, of which systemd gives it copies.
set -eu
umask 077

# An address is unix://USER:PASSWORD@/run/relay-record/record.sock
digest_of() { sed -E 's,^[^:]+://[^:]+:([^@]+)@.*$,\1,' "$CREDENTIALS_DIRECTORY/$1" | tr -d '\n' | sha256sum | cut -c -64; }

# Nothing follows this server, so there is no user for a replica. The default user may also have this file read again.
sed -E -e '/^user (default|web|worker) /!d' -e 's/^(user default .*)$/\1 +acl|load/' \
  -e "s/WEB_DIGEST/$(digest_of web)/" -e "s/WORKER_DIGEST/$(digest_of worker)/" \
  "$(dirname "$0")/../../redis/users.acl" > "$RUNTIME_DIRECTORY/users.acl"
