#!/usr/bin/env bash
# Measures pixazo-mcp beside bare servers of three MCP libraries, in turn: start
# and idle memory, for docs/performance.md. Needs Go, npm and Linux. N is how
# often (default 30).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
(cd ../.. && go build -o "$tmp/" . && go build -o "$tmp/" ./testdata/bare)
go build -o "$tmp/gosdk" ./gosdk
go build -o "$tmp/measure" .
npm ci --silent
"$tmp/measure" "${N:-30}" "pixazo-mcp=$tmp/pixazo-mcp" "mcp-go=$tmp/bare" "go-sdk=$tmp/gosdk" "ts-sdk=node tssdk.mjs"
