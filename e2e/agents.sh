#!/usr/bin/env bash
# Drives applications that people use, pinned, with a model on loopback that
# plays scripts: e2e/agents.sh [--update] [--slow] [--interrupts=N] [--only=REGEXP] CLIENT...
# The clients are the folders of e2e/agents; --install only installs them. Needs Go, npm, and unshare and ip,
# which take the network away. Runs from any directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

options=() clients=() install=
for arg; do
  case "$arg" in
    --install) install=only ;;
    -*) options+=("$arg") ;;
    *) clients+=("$arg") ;;
  esac
done
[ ${#clients[@]} -gt 0 ] || { sed -n 's/^# //p' "$0" >&2; exit 2; }

# Versions are exact. There is no lock file: what these packages need is within
# them, but for one package a platform, which not every mirror has for all. Their
# install scripts are not needed.
for client in "${clients[@]}"; do
  npm install --prefix "e2e/agents/$client" --no-package-lock --ignore-scripts --no-audit --no-fund
done
[ -z "$install" ] || exit 0
e2e/install.sh e2e

tmp=$(mktemp -d)
# An application, or a keeper that still sends, may write there for a moment more.
trap 'rm -rf "$tmp" 2>/dev/null || { sleep 5; rm -rf "$tmp"; }' EXIT
go build -o "$tmp/" .

# A network of its own, which has nothing but loopback.
isolated=(unshare --net)
[ "$(id -u)" = 0 ] || isolated=(unshare --map-root-user --net)
isolated+=(sh -c 'ip link set lo up && exec "$@"' sh)
"${isolated[@]}" true || { echo "the network can't be taken away here: the applications could reach the internet" >&2; isolated=(); }
${isolated[@]+"${isolated[@]}"} e2e/node_modules/.bin/node e2e/agents/run.mjs ${options[@]+"${options[@]}"} "$tmp/pixazo-mcp" "$tmp" "${clients[@]}"
