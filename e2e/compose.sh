#!/usr/bin/env bash
# Checks packaging/team/compose.yaml with the Compose Specification's own program:
# by its schema, and that what it names is there. No engine is needed. Needs Go.
# Runs from any directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../packaging/team"

check() { go run github.com/compose-spec/compose-go/v2/cmd@v2.16.2 --no-interpolation --format json "$@"; }

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
check compose.yaml > "$tmp/model.json"
for service in replica-1 replica-2 database proxy; do
  grep -q "\"$service\": {" "$tmp/model.json" || { echo "no service $service"; exit 1; }
done

# The check finds mistakes.
sed 's/^    healthcheck:/    healthchek:/' compose.yaml > "$tmp/compose.yaml"
if check "$tmp/compose.yaml" > /dev/null 2>&1; then
  echo "a misspelt word was taken"
  exit 1
fi
echo "1 passed, 0 failed"
