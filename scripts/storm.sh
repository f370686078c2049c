#!/bin/sh
# Has clients do everything at once while garbage is collected and servers are killed, and
# asks whether what they saw could be. Usage: storm.sh [ci]
# With ci: under a minute. Else STORM (default 30m), half of it on one process, half on two.
set -eu
cd "$(dirname "$0")/.."
if [ "${1:-}" = ci ]; then
	exec go test -count=1 -timeout 5m -vet=off -v ./e2e/storm
fi
[ ! -w /dev/shm ] || export TMPDIR="${TMPDIR:-/dev/shm}" # which need not wait for a disk
STORM=${STORM:-30m}
export STORM
exec go test -count=1 -timeout 24h -v ./e2e/storm
