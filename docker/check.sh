#!/usr/bin/env bash
# Runs the release binary under the container's conditions, without a container engine: unprivileged user, read-only
# root, one writable data folder, /tmp without execution. Needs root and Linux namespaces.
set -euo pipefail
binary=$(realpath "${1:-target/release/lethe}")

exec unshare --mount --fork bash -euo pipefail -s "$binary" <<'INSIDE'
binary=$1
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/data && chown 65532:65532 /mnt/data
cp "$binary" /mnt/lethe
mount -t tmpfs -o noexec,nosuid,size=64m tmpfs /tmp
mount -o remount,ro,bind /

# an array, not a function: what is started in the background is the program itself, and can be signalled
as_user=(setpriv --reuid=65532 --regid=65532 --clear-groups --no-new-privs --bounding-set=-all env -i
  LETHE_LISTEN=127.0.0.1:0 LETHE_DATA_DIR=/mnt/data SQLITE_TMPDIR=/mnt/data)

if "${as_user[@]}" sh -c 'touch /escape' 2>/dev/null; then echo "the root is writable"; exit 1; fi
"${as_user[@]}" /mnt/lethe serve >/mnt/address 2>/mnt/log &
pid=$!
trap 'kill -9 $pid 2>/dev/null || true' EXIT
until grep -q '^listening on ' /mnt/address; do
  kill -0 $pid || { cat /mnt/log; exit 1; }
  sleep 0.1
done
address=$(sed 's|^listening on http://||' /mnt/address)
echo "serving on $address as user 65532 on a read-only root"
"${as_user[@]}" LETHE_LISTEN="$address" /mnt/lethe healthcheck
echo "healthy"
"${as_user[@]}" LETHE_SERVER="http://$address" /mnt/lethe train --mode debug --dataset digits --epochs 1 --model checked --json >/dev/null 2>&1
echo "trained a model"
kill -TERM $pid
wait $pid
echo "stopped on SIGTERM"
INSIDE
