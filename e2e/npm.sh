#!/usr/bin/env bash
# Uses the npm packages as somebody does who has npm and nothing else: from a
# registry on loopback, and from the tarballs, each time in an empty home. Needs
# Go, npm, tar. Builds this platform's package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tmp=$(mktemp -d)
passed=0 failed=0
platform=$(node -p '`${process.platform}-${process.arch}`')
node=$(dirname "$(command -v node)")

OUT=$tmp NPM=@owner/pixazo-mcp VERSION=9.8.7 packaging/npm/build.sh "$platform" >/dev/null
main=$tmp/owner-pixazo-mcp-9.8.7.tgz program=$tmp/owner-pixazo-mcp-$platform-9.8.7.tgz

coproc registry { exec node e2e/npm/registry.mjs "$main" "$program"; }
registry_pid=$!
trap 'kill "$registry_pid" 2>/dev/null; rm -rf "$tmp"' EXIT
read -r url <&"${registry[0]}"

# check NAME WANTED COMMAND...: it exits with 0 and prints WANTED; with an empty
# home, in an empty folder, without a keeper that outlives it.
check() {
  local name=$1 wanted=$2 rc=0
  shift 2
  rm -rf "$tmp/home" && mkdir -p "$tmp/home"
  (cd "$tmp/home" && timeout 300 env -i "HOME=$tmp/home" "PATH=$node:$PATH" "npm_config_registry=$url" npm_config_update_notifier=false \
    PIXAZO_SANDBOX_DURATION=1s PIXAZO_NOTIFY=false PIXAZO_KEEPER=false "$@") <"${input:-/dev/null}" >"$tmp/out" 2>&1 || rc=$?
  if [ "$rc" = 0 ] && grep -qF -e "$wanted" "$tmp/out"; then
    passed=$((passed + 1))
    echo "ok    $name"
  else
    failed=$((failed + 1))
    echo "FAIL  $name: exit $rc, want 0 and $wanted"
    sed 's/^/      /' "$tmp/out" | cut -c -2000
  fi
}

for package in "$main" "$program"; do
  check "npm publishes $(basename "$package") for everybody" '"access": "public"' tar -xOf "$package" package/package.json
done
check "npx makes a video in the sandbox" "$tmp/home/Videos/Pixazo/" npx -y @owner/pixazo-mcp demo
check "npx takes the tarballs" "9.8.7" npx -y --package "$main" --package "$program" pixazo-mcp --version
check "npm install -g and install set a client up" '"command"' sh -c 'npm install -g --silent --prefix "$HOME/npm" @owner/pixazo-mcp && "$HOME/npm/bin/pixazo-mcp" install claude-code --sandbox --print'

# A server ends when its client closes the pipe.
input=$tmp/lines
printf '%s\n' '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"npm","version":"1"}}}' \
  '{"jsonrpc":"2.0","method":"notifications/initialized"}' '{"jsonrpc":"2.0","id":2,"method":"tools/list"}' >"$input"
check "npx serves a client" '"generate_video"' npx -y @owner/pixazo-mcp --sandbox
unset input

check "a failure keeps its exit status" "is 2" sh -c 'npx -y @owner/pixazo-mcp wait --no-such-flag >/dev/null 2>&1; echo "is $?"'
# The program holds stdout as long as it lives.
check "a signal ends the program, too" "ended 0, nothing left" bash -c '
  npm install --silent --prefix . @owner/pixazo-mcp
  coproc server { exec node node_modules/@owner/pixazo-mcp/pixazo-mcp.js --sandbox 2>/dev/null; }
  pid=$server_PID out=${server[0]}
  head -n 1 "$0" >&"${server[1]}" && read -r _ <&"$out"
  { kill "$pid"; timeout 60 cat <&"$out" && left=nothing; wait "$pid"; echo "ended $?, ${left:-something} left"; } 2>/dev/null' "$tmp/lines"
check "a platform without a program is told so" "no program for plan9-" sh -c '
  npm install --silent --prefix . @owner/pixazo-mcp
  node -e "Object.defineProperty(process, \"platform\", { value: \"plan9\" }); require(\"./node_modules/@owner/pixazo-mcp/pixazo-mcp.js\")" 2>&1 || true'

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
