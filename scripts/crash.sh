#!/bin/sh
# Kills the server at crash points and looks at what is left. Usage: crash.sh [ci]
# With ci: fifty points, seconds. Else CRASHES kills (default 5000), minutes.
set -eu
cd "$(dirname "$0")/.."
if [ "${1:-}" = ci ]; then
	exec go test -count=1 -timeout 10m -vet=off -v ./e2e/crash
fi
[ ! -w /dev/shm ] || export TMPDIR="${TMPDIR:-/dev/shm}" # which need not wait for a disk
CRASHES=${CRASHES:-5000}
export CRASHES
exec go test -count=1 -timeout 6h -v -run TestNothingIsLostWhereverTheServerIsKilled ./e2e/crash
