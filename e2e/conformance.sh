#!/usr/bin/env bash
# Runs the official conformance suite, in its two versions, against internal/web
# with the tools that the suite asks for. A scenario that fails, and one that
# passes though it is listed as failing, ends it with an error. Needs Go and npm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

clients=e2e/clients
e2e/install.sh "$clients"
tmp=$(mktemp -d)
go build -o "$tmp/fixture" ./e2e/conformance
coproc fixture { TMPDIR=$tmp exec "$tmp/fixture"; }
pid=$fixture_PID
trap 'kill "$pid" 2>/dev/null; wait "$pid" || true; rm -rf "$tmp"' EXIT
read -r url <&"${fixture[0]}"

run() {
  local suite=$1 expected=$2
  shift 2
  "$clients/node_modules/.bin/node" "$clients/node_modules/$suite/dist/index.js" server --url "$url" \
    --expected-failures "e2e/conformance/$expected" "$@" >"$tmp/out" 2>&1 || { sed -n '/=== SUMMARY/,$p' "$tmp/out"; echo "FAIL $suite"; exit 1; }
  sed -n 's/^Total: /'"${expected%.yaml}"': /p' "$tmp/out"
}

run conformance-0.1 expected-0.1.yaml
run @modelcontextprotocol/conformance expected-0.2.yaml --suite all
