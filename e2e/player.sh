#!/usr/bin/env bash
# Shows the player in a headless Chromium: in MCP Inspector's web page, and in a
# host of our own that makes trouble (player/). Needs Go, Chromium, and
# `npm ci --prefix e2e` done. Runs from any directory; pictures go to
# e2e/screenshots.
#
# Usage: player.sh [--picture]      --picture makes docs/player.png and gallery.png anew
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

node=e2e/node_modules/.bin/node
[ -x "$node" ] || { echo "first run: npm ci --prefix e2e" >&2; exit 1; }
if [ "${1:-}" = --picture ]; then export PLAYER_PICTURES=$PWD/docs; fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export PIXAZO_MCP=$tmp/pixazo-mcp
go build -o "$PIXAZO_MCP" .

# What the Inspector makes of the tools' _meta and of the page's.
cat >"$tmp/mcp.json" <<JSON
{ "mcpServers": { "pixazo": { "command": "$PIXAZO_MCP", "args": ["--sandbox", "--keeper=false", "--notify=false", "--state-dir=$tmp/state", "--output-dir=$tmp/videos"] } } }
JSON
npx --prefix e2e mcp-inspector --cli --config "$tmp/mcp.json" --server pixazo \
  --method tools/list --app-info --format json </dev/null >"$tmp/apps" 2>"$tmp/err" || { cat "$tmp/err"; exit 1; }
"$node" -e '
  const apps = require("fs").readFileSync(process.argv[1], "utf8").trim().split("\n").map(JSON.parse);
  for (const name of ["generate_video", "get_status", "wait_for_video", "list_videos", "download_video"]) {
    const app = apps.find(a => a.toolName === name);
    const good = app?.hasApp && app.resourceUri === "ui://pixazo/player" && app.resourceMimeType === "text/html;profile=mcp-app" &&
      /^http:\/\/127\.0\.0\.1:\d+$/.test(app.csp.resourceDomains.join()) && app.visibility.includes("model") && app.visibility.includes("app");
    console.log(`${good ? "ok   " : "FAIL "} the Inspector finds the player of ${name}`);
    if (!good) { console.log(app); process.exitCode = 1; }
  }' "$tmp/apps"

"$node" --test --test-concurrency=2 --test-timeout=300000 e2e/player/*.test.mjs
