#!/bin/sh
# Measures Berth against the floor and docker-registry. Usage: bench.sh [flags of bench]
set -eu
cd "$(dirname "$0")/.."
exec go run ./bench "$@"
