#!/usr/bin/env bash
# Installs the npm packages of the lock file in each folder that is named, unless
# they are there: e2e/install.sh FOLDER... Runs from any directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for folder; do
  # npm writes the hidden file when all is in place.
  [ "$folder/node_modules/.package-lock.json" -nt "$folder/package-lock.json" ] || npm ci --prefix "$folder"
done
