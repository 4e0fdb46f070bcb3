#!/usr/bin/env bash
# Measures pixazo-mcp beside bare servers of three MCP libraries, in turn: start
# and idle memory, for docs/performance.md. Needs Go, npm and Linux. N is how
# often (default 30).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go build -o "$tmp/gosdk" ./gosdk
npm ci --silent
export PEERS="go-sdk=$tmp/gosdk
ts-sdk=node $PWD/tssdk.mjs"
cd ../.. && go test -run '^$' -bench 'ColdStart|IdleMemory' -benchtime "${N:-30}x" .
