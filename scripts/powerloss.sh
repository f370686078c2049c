#!/bin/sh
# Records what a server writes to its disk, on ext4 on a loop device, and checks what
# it would find if the power had gone at POWERLOSS_STATES moments, once with sealed
# bytes and once without. It needs root, /dev/fuse and loop devices.
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
	echo "powerloss.sh: mounting needs root" >&2
	exit 1
fi
states=${POWERLOSS_STATES:-10000}
for seal in on off; do
	echo "== layers with --seal $seal"
	TMPDIR=/dev/shm POWERLOSS_STATES=$((states / 2)) POWERLOSS_SEAL=$seal go test ./e2e/powerloss -count=1 -v -timeout 120m
done
