#!/bin/sh
# Installs what the tests need and runs them, stage by stage, printing how long
# each took. Usage: test.sh [all]
set -eu
cd "$(dirname "$0")/.."
ring=${1:-}
times=$(mktemp)
skipped=$(mktemp)
elsewhere=$(mktemp)
started=$(date +%s)

# stage NAME COMMAND...
stage() {
	name=$1
	shift
	echo "== $name"
	begin=$(date +%s)
	if ! "$@"; then
		echo "== $name failed after $(($(date +%s) - begin)) s" >&2
		exit 1
	fi
	printf '%-10s %4d s\n' "$name" $(($(date +%s) - begin)) >>"$times"
}

# Packages where goroutines meet. The race detector slows the others down for
# nothing; make test-all runs it on all.
raced='./internal/audit/... ./internal/authn/... ./internal/blob ./internal/blob/dirbucket ./internal/metadata/... ./internal/registry/... ./internal/rotate/...'
[ "$ring" != all ] || raced='./internal/... ./cmd/...'

plain() {
	# shellcheck disable=SC2046,SC2086
	set -- $(go list ./internal/... ./cmd/... ./bench/... | grep -vxF "$(go list $raced)")
	[ $# = 0 ] || go test -vet=off "$@" || return
	[ "$ring" != all ] || go test -vet=off ./internal/server -run 'Matrix|Nasty|NoSQL|DoNotTell|NoDamage' # which skip themselves in the race detector
}

tools() {
	if ! bin=$(scripts/tools.sh "$ring"); then return 1; fi
	PATH=$bin:$PATH
	export PATH
	NODE_PATH=$(dirname "$bin")/npm/node_modules
	export NODE_PATH
	if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
		echo "Neither root nor password-less sudo: tests that start a container engine are not run; they are listed at the end."
	fi
}

# In memory, if there is room: tests then need not wait for the disk at every sync.
memory() {
	if [ -w /dev/shm ] && [ "$(df -Pm /dev/shm | awk 'NR==2 {print $4}')" -gt 2000 ]; then
		TMPDIR=/dev/shm "$@"
	else
		"$@"
	fi
}

race() {
	# shellcheck disable=SC2086
	CGO_ENABLED=1 go test -vet=off -race $raced
}

# The same tests with the layers in S3. servertest has both databases.
stored() {
	# shellcheck disable=SC2046
	env E2E_RING=all BERTH_TEST_STORAGE=s3 go test -vet=off -count=1 -timeout 30m ./internal/blob/s3bucket \
		$(go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./internal/... | grep internal/servertest | cut -d' ' -f1)
}

# Each program is vetted here and nowhere else. Only the race detector needs cgo: what
# is compiled here serves all other tests.
CGO_ENABLED=0
export CGO_ENABLED

warm() {
	go build ./... && go vet ./...
}

stage tools tools
stage build warm
stage unit memory plain
stage race memory race
stage e2e env E2E_RING="$ring" E2E_SKIPPED="$skipped" go test -vet=off -count=1 -timeout 12m ${E2E_FLAGS:-} ./e2e
stage crash memory scripts/crash.sh ci
stage storm memory scripts/storm.sh ci
if [ "$ring" = all ]; then
	stage s3 memory stored
	stage e2e-s3 env E2E_RING=all E2E_SKIPPED="$elsewhere" E2E_STORAGE=versitygw E2E_DATABASE=postgres go test -vet=off -count=1 -timeout 20m ./e2e
	stage large memory env LARGE_BLOB=100 go test -count=1 -timeout 60m -v -run TestALargeBlob ./internal/blob
	stage check scripts/check.sh
	stage oracle env ORACLE_POLICIES=1000000 go test -count=1 -timeout 60m -run TestDecisionsAreThoseOfTheOracle ./internal/policy
	stage fuzz env FUZZTIME="${FUZZTIME:-60s}" scripts/fuzz.sh
fi
echo
[ ! -s "$skipped" ] || echo "e2e scripts that were not run: $(sort "$skipped" | xargs)"
[ ! -s "$elsewhere" ] || echo "e2e scripts that were not run on S3 and PostgreSQL: $(sort "$elsewhere" | xargs)"
cat "$times"
printf '%-10s %4d s\n' total $(($(date +%s) - started))
rm -f "$times" "$skipped" "$elsewhere"
