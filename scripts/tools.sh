#!/bin/sh
# Installs the clients and servers that the tests use. Usage: tools.sh [all]
#
# Debian packages come from apt; programs in Go and JavaScript are built once,
# at pinned versions, into a cache outside of the repository. Everything that is
# there already is left alone. The directory of the built programs is printed.
set -eu

cache=${XDG_CACHE_HOME:-$HOME/.cache}/berth/tools
bin=$cache/bin
mkdir -p "$bin"

say() { echo "tools: $*" >&2; }

# root runs a command as root, or fails if that cannot be had without a password.
root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

debian() {
	command -v apt-get >/dev/null || { say "no apt-get here: install by hand what you miss of: $*"; return 0; }
	missing=
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
	done
	[ -n "$missing" ] || return 0
	root true 2>/dev/null || { say "neither root nor password-less sudo: not installed:$missing"; return 0; }
	say "installing$missing"
	root apt-get update -qq >/dev/null
	# shellcheck disable=SC2086
	root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# gotool NAME PACKAGE@VERSION
gotool() {
	[ -f "$cache/$1@${2##*@}" ] && [ -x "$bin/$1" ] && return 0
	say "building $1"
	GOBIN=$bin GOFLAGS= CGO_ENABLED=0 go install "$2" >&2
	touch "$cache/$1@${2##*@}"
}

# gomodule NAME MODULE VERSION PACKAGE, for a module that go install refuses.
gomodule() {
	[ -f "$cache/$1@$3" ] && [ -x "$bin/$1" ] && return 0
	say "building $1"
	dir=$(mktemp -d)
	printf 'module tools\ngo 1.26\nrequire %s %s\n' "$2" "$3" >"$dir/go.mod"
	(cd "$dir" && GOFLAGS= CGO_ENABLED=0 go build -mod=mod -o "$bin/$1" "$4" >&2)
	rm -rf "$dir"
	touch "$cache/$1@$3"
}

# npmpackage NAME VERSION
npmpackage() {
	[ -f "$cache/npm-$2" ] && return 0
	command -v npm >/dev/null || debian nodejs npm
	say "installing $1"
	npm install --silent --no-audit --no-fund --prefix "$cache/npm" "$1@$2" >&2
	touch "$cache/npm-$2"
}

debian awscli buildah containerd curl docker-compose docker-registry docker.io iproute2 iptables jq openssl podman postgresql python3-boto3 python3-yaml skopeo strace umoci
gotool crane github.com/google/go-containerregistry/cmd/crane@v0.22.1
gotool regctl github.com/regclient/regclient/cmd/regctl@v0.11.7
gomodule oras oras.land/oras v1.2.3 oras.land/oras/cmd/oras
gotool docker-credential-ecr-login github.com/awslabs/amazon-ecr-credential-helper/ecr-login/cli/docker-credential-ecr-login@v0.12.0
gotool ecr-credential-provider k8s.io/cloud-provider-aws/cmd/ecr-credential-provider@v1.37.0
npmpackage @aws-sdk/client-ecr 3.1169.0
if [ "${1:-}" = all ]; then
	gotool helm helm.sh/helm/v3/cmd/helm@v3.22.0
	gotool versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0
	gotool golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
fi
echo "$bin"
