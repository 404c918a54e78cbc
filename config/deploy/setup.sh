#!/bin/sh
# Makes the folder that docker-compose.yml and config/deploy/kubernetes/ run on: what `relay init` writes, and the passwords
# between the relay's own parts. It keeps what is there, so it can be run again at any time.
#   sh setup.sh FOLDER [OPTIONS OF `relay init`]
# RELAY_DOMAIN, if set, is the public name. With RELAY_REPLICAS above 0 the record is found by sentinels (profile `ha`).
set -eu
umask 077
folder=$1
shift
python=${PYTHON:-python}

if ! [ -w "$folder" ]; then
  echo "$folder cannot be written by user $(id -u): see config/deploy/README.md for how it is made" >&2
  exit 1
fi
# It ends with 1 also if something is still to be mended in a file: that does not keep the rest from being made.
status=0
if [ $# -gt 0 ] || ! [ -e "$folder/.env" ]; then
  if [ -n "${RELAY_DOMAIN:-}" ]; then
    set -- --public-url "https://$RELAY_DOMAIN" "$@"
  fi
  "$python" -m relay init "$folder" "$@" || status=$?
  [ -e "$folder/.env" ] || exit "$status"
fi

random() { "$python" -c 'import secrets; print(secrets.token_urlsafe(24))'; }

# Writes what it reads into a file that other users may read: the servers of other images run as users of their own. The
# folders above it are for their owner only.
shared() {
  mkdir -p "$(dirname "$1")"
  cat > "$1.new"
  chmod 644 "$1.new"
  mv "$1.new" "$1"
}

# Makes a secret once, or keeps it. An earlier version kept some where the second argument says.
secret() {
  if [ -s "$1" ]; then chmod 644 "$1"
  elif [ -s "${2:-}" ]; then shared "$1" < "$2"
  else random | shared "$1"; fi
}

# Gives a side its copy. Nothing is read from there again, because the side may write in its folder. On the way back to an
# earlier version, other servers read it there.
copy() { mkdir -p "$(dirname "$2")" && install -m 644 "$1" "$2"; }

# Where the record is, with the user and the password of one side. The password stays when the place changes.
address() {
  user=$1 file=$folder/secrets/record/redis_url_$1 own=$folder/secrets/$2/REDIS_URL
  secret "$file" "$own"
  password=$(sed -E 's,^[^:]+://[^:]+:([^@]+)@.*$,\1,' "$file")
  case "${RELAY_REPLICAS:-0}" in
    0) echo "redis://$user:$password@redis:6379/0" ;;
    *) echo "redis+sentinel://$user:$password@sentinel-1:26379,sentinel-2:26379,sentinel-3:26379/main/0" ;;
  esac | shared "$file"
  copy "$file" "$own"
}

address web web
address worker workers
secret "$folder/secrets/record/redis_replica_password"
secret "$folder/secrets/monitoring/relay_metrics_token" "$folder/secrets/web/RELAY_METRICS_TOKEN"
copy "$folder/secrets/monitoring/relay_metrics_token" "$folder/secrets/web/RELAY_METRICS_TOKEN"
secret "$folder/secrets/monitoring/grafana_password"
mkdir -p "$folder/backup"
echo "In containers, go on with \`docker compose up -d\`, or with the commands at the head of kustomization.yaml." >&2
exit "$status"
