#!/bin/sh
# Starts the record's server, or its replica, with the users of users.acl: see docker-compose.yml.
#   sh start.sh CONFIGURATION [OPTIONS OF THE SERVER]
# The passwords are those in the addresses of web and workers; a server that follows another is the user `replica` there.
set -eu
umask 077
secrets=${SECRETS:-/run/secrets}
own=${TMPDIR:-/tmp}

digest() { tr -d '\n' | sha256sum | cut -c -64; }
password_of() { sed -E 's,^[^:]+://[^:]+:([^@]+)@.*$,\1,' "$secrets/redis_url_$1"; }

sed -e '/^user /!d' \
  -e "s/WEB_DIGEST/$(password_of web | digest)/" \
  -e "s/WORKER_DIGEST/$(password_of worker | digest)/" \
  -e "s/REPLICA_DIGEST/$(digest < "$secrets/redis_replica_password")/" "$(dirname "$0")/users.acl" > "$own/users.acl"
{
  echo "aclfile $own/users.acl"
  echo "masteruser replica"
  echo "masterauth $(cat "$secrets/redis_replica_password")"
} > "$own/users.conf"
exec valkey-server "$@" --include "$own/users.conf"
