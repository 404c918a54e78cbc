#!/bin/sh
# `relay` in a terminal of the server, for root: `relay events`, `relay audit`; `relay workers ping` is `python -m workers`,
# and `relay workers credential main` takes the address of the portal `main`.
set -eu

set -a
RELAY_CONFIG=/etc/relay/config
RELAY_SECRETS=/etc/relay/secrets
. /etc/relay/.env
REDIS_URL_FILE=/etc/relay/secrets/workers/REDIS_URL
RELAY_STATE=/var/lib/relay-workers
PYTHONPATH=/opt/relay/current
set +a

program=relay
if [ "${1:-}" = workers ]; then program=workers && shift; fi
status=0
# -P: nothing is loaded from the folder that one happens to be in.
/opt/relay/current/.venv/bin/python -P -m "$program" "$@" || status=$?
# What a command such as `restore` has written there is for the workers to write too.
chown -R relay-workers:relay "$RELAY_STATE"
exit "$status"
