#!/usr/bin/env bash
# Builds the npm packages into dist/npm/, one tarball each: a package for each
# platform with the program inside, and the main one. Publishes nothing: publish
# the platforms' packages first, the main one last. Needs Go and npm.
#
#   packaging/npm/build.sh [PLATFORM...]   such as linux-x64; default: all
#
# The environment is that of packaging/release.mjs (NPM, VERSION, REPOSITORY), and
#
#   COMMIT  commit that the program says it is of; default: HEAD's
#   OUT     default: dist/npm
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

out=${OUT:-dist/npm}
commit=${COMMIT:-$(git rev-parse --short HEAD)}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

node packaging/npm/packages.mjs "$stage" "$@" >"$stage/platforms"
version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$stage/main/package.json")
while read -r os arch program; do
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=$version -X main.commit=$commit" -o "$program" .
done <"$stage/platforms"

mkdir -p "$out"
for package in "$stage"/*/; do
  npm pack --silent --pack-destination "$out" "$package"
done
