#!/bin/sh
# Installs the checkout that this file is in, for root on Debian: users, rights, units, `relay` in a terminal; then
# switch.sh. For the first start, an upgrade and the way back, and after `relay init` has changed /etc/relay. It repeats
# harmlessly and never changes a secret.
set -eu
umask 022
cd "$(dirname "$0")"

getent group relay > /dev/null || groupadd --system relay
for user in relay-web relay-workers relay-record; do
  getent passwd "$user" > /dev/null ||
    useradd --system --gid relay --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
done

# The addresses of the record with a password each, made once.
for user in web worker; do
  side=web
  if [ "$user" = worker ]; then side=workers; fi
  install -d -m 700 "/etc/relay/secrets/$side"
  file=/etc/relay/secrets/$side/REDIS_URL
  if [ ! -s "$file" ]; then
    rm -f "$file"
    # -C follows no link: the side may write in this folder.
    (umask 077 && set -C && echo "unix://$user:$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')@/run/relay-record/record.sock" > "$file")
  fi
done

# Each side reads its own secrets and may add to them: `relay workers credential`, and the web process for people in the
# dashboard. Both read the configuration; the web process also writes it.
chmod 755 /etc/relay /etc/relay/secrets
chown -R relay-web:relay /etc/relay/secrets/web
chown -R relay-workers:relay /etc/relay/secrets/workers
chmod -R u=rwX,go= /etc/relay/secrets/web /etc/relay/secrets/workers
install -d /etc/relay/config/rules
chown -R relay-web:relay /etc/relay/config
chmod -R u=rwX,g=rX,o= /etc/relay/config
find /etc/relay/config -type d -exec chmod g+s {} +
chmod 600 /etc/relay/.env

install -m 644 ./*.socket ./*.service ./*.timer /etc/systemd/system/
install -m 644 relay-web.service /etc/systemd/system/relay-web@.service
install -m 755 relay.sh /usr/local/bin/relay
systemctl daemon-reload

checkout=$(cd ../../.. && pwd -P)
[ -e "$(dirname "$checkout")/current" ] || ln -s "$(basename "$checkout")" "$(dirname "$checkout")/current"
systemctl enable --now relay-record.service relay-web.socket relay-backup.timer
systemctl enable relay-web.service relay-workers.service
systemctl reload relay-record.service
exec sh ./switch.sh
