#!/bin/sh
# Makes the checkout that this file is in the one that runs: at first, at an upgrade, and on the way back. install.sh ends
# with it. No post is refused: the new web process takes posts beside the old one before that ends, and lays out the record
# anew where that is needed. If it cannot start, everything stays as it was.
set -eu

checkout=$(cd "$(dirname "$0")/../../.." && pwd -P)
base=$(dirname "$checkout")
before=$(readlink "$base/current" || true)

# A link is replaced as a whole, never absent.
point_to() { ln -sfn "$1" "$base/current.new" && mv -T "$base/current.new" "$base/current"; }

# What is waiting waits. Workers of one version must not claim what another lays out.
systemctl stop relay-workers
point_to "$(basename "$checkout")"
if ! systemctl start relay-web@beside; then
  if [ -n "$before" ]; then point_to "$before" && systemctl start relay-workers; fi
  echo "the new version does not start, and the one before goes on: journalctl -u relay-web@beside" >&2
  exit 1
fi
systemctl restart relay-web
systemctl stop relay-web@beside
systemctl start relay-workers
