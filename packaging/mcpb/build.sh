#!/usr/bin/env bash
# Builds the MCP bundles of one-click installation into dist/: Linux (amd64),
# Windows (amd64) and macOS (amd64 and arm64 in one program), each checked by
# the tool of the format's authors; the Linux one is then started as a desktop
# client would. Needs Go and npm; the environment takes
#
#   VERSION  version of the bundles; default: that of manifest.json
#   COMMIT   commit that the program says it is of; default: HEAD's
#   REPOSITORY and the other names of packaging/release.mjs, for the links
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

here=packaging/mcpb
version=${VERSION:-$(sed -n 's/^  "version": "\(.*\)",$/\1/p' $here/manifest.json)}
commit=${COMMIT:-$(git rev-parse --short HEAD)}
mcpb=$here/node_modules/.bin/mcpb
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

e2e/install.sh $here

# compile GOOS GOARCH OUT
compile() {
  CGO_ENABLED=0 GOOS=$1 GOARCH=$2 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=$version -X main.commit=$commit" -o "$3" .
}
compile linux amd64 "$stage/linux/server/pixazo-mcp"
compile windows amd64 "$stage/win32/server/pixazo-mcp.exe"
compile darwin amd64 "$stage/darwin-amd64"
compile darwin arm64 "$stage/darwin-arm64"
mkdir -p "$stage/darwin/server" dist
node $here/universal.mjs "$stage/darwin/server/pixazo-mcp" "$stage/darwin-amd64" "$stage/darwin-arm64"

for platform in linux/linux-amd64 win32/windows-amd64 darwin/macos-universal; do
  dir=$stage/${platform%/*}
  bundle=dist/pixazo-mcp_${version}_${platform#*/}.mcpb
  node $here/manifest.mjs "${platform%/*}" "$version" <$here/manifest.json >"$dir/manifest.json"
  cp LICENSE $here/icon.png "$dir/"
  chmod 644 "$dir"/*.* "$dir/LICENSE"
  chmod 755 "$dir"/server/*
  "$mcpb" validate "$dir/manifest.json" >"$stage/log" 2>&1 && "$mcpb" pack "$dir" "$bundle" >>"$stage/log" 2>&1 || {
    cat "$stage/log"
    exit 1
  }
  echo "$(sha256sum "$bundle"), $(wc -c <"$bundle") bytes"
done

node $here/start.mjs "dist/pixazo-mcp_${version}_linux-amd64.mcpb" "$version"
