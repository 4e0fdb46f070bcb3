#!/usr/bin/env bash
# Drives the built server, over stdio and over HTTP, with clients that others
# wrote: MCP Inspector 0.15 and 2, the TypeScript SDKs 1 and 2, the Go SDK and
# mcp-go, in the protocol revisions that they speak, through the whole job on the
# sandbox. Every message of the server is validated against the JSON Schema of its
# revision, and every tool result against the tool's own. Needs Go and npm. Runs
# from any directory. A regular expression picks clients by their names.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

clients=e2e/clients
e2e/install.sh "$clients" e2e # where Inspector 2 is pinned

tmp=$(mktemp -d)
# A keeper that has just saved a video may write there for a moment more.
trap 'rm -rf "$tmp" 2>/dev/null || { sleep 5; rm -rf "$tmp"; }' EXIT
go build -o "$tmp/" .
(cd "$clients/gosdk" && go vet . && go build -o "$tmp/clients" .)

"$clients/node_modules/.bin/node" --test --test-reporter=dot "$clients/record.test.mjs" "$clients/http.test.mjs" # what judges them finds faults
"$clients/node_modules/.bin/node" "$clients/run.mjs" "$tmp/pixazo-mcp" "$tmp/clients" \
  "$PWD/e2e/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js" "$tmp" "$@"
