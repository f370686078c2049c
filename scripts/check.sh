#!/bin/sh
# Format, vet, lint and cross-compile. Linters that are not installed are built
# at pinned versions.
set -eu
cd "$(dirname "$0")/.."
unformatted=$(git ls-files '*.go' | xargs gofmt -l)
[ -z "$unformatted" ] || { echo "run gofmt on: $unformatted" >&2; exit 1; }
go vet ./...
for target in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do
	echo "== $target"
	CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build -o /dev/null ./cmd/berth
done
go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
go run golang.org/x/vuln/cmd/govulncheck@v1.8.0 ${GOVULNDB:+-db "$GOVULNDB"} ./...
