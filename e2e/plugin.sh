#!/usr/bin/env bash
# Checks what packaging/release.mjs writes: that the committed files are up to
# date, that server.json of a release is what the MCP registry's schema says, and
# that the applications take the plugin and start the server from it, each in an
# empty home. Needs Go, Node.js, and `npm ci --prefix e2e` done. The applications
# are those that CLAUDE, CODEX and GEMINI name; one that is not named is left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0

# check NAME WANTED COMMAND...: it exits with 0 and prints WANTED.
check() {
  local name=$1 wanted=$2 rc=0
  shift 2
  "$@" </dev/null >"$tmp/out" 2>&1 || rc=$?
  if [ "$rc" = 0 ] && { [ -z "$wanted" ] || grep -qF -e "$wanted" "$tmp/out"; }; then
    passed=$((passed + 1))
    echo "ok    $name"
  else
    failed=$((failed + 1))
    echo "FAIL  $name: exit $rc, want 0 and $wanted"
    sed 's/^/      /' "$tmp/out" | cut -c -2000
  fi
}

check "the committed manifests are up to date" "" node packaging/release.mjs --check
check "the plugin's icon is the bundle's" "" cmp packaging/plugin/icon.png packaging/mcpb/icon.png

# The schema lies in the registry's own Go module, whose checksum Go verifies.
registry=github.com/modelcontextprotocol/registry@v1.8.9
schema=$(cd "$tmp" && go mod download -json "$registry" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')/internal/validators/schemas/2025-12-11.json
REPOSITORY=https://github.com/Owner/pixazo-mcp.git/ NPM=@owner/pixazo-mcp VERSION=9.8.7 node packaging/release.mjs "$tmp/release"
for file in packaging/server.json "$tmp/release/packaging/server.json"; do
  check "$(basename "$(dirname "$(dirname "$file")")")/server.json is what the registry's schema says" valid node -e '
    const { createRequire } = require("node:module"), { readFileSync } = require("node:fs");
    const Ajv = createRequire(process.cwd() + "/e2e/")("ajv");
    const [schema, value] = process.argv.slice(1).map((f) => JSON.parse(readFileSync(f, "utf8")));
    const ajv = new Ajv.default({ strict: false, validateFormats: false, allErrors: true });
    if (!ajv.validate(schema, value)) throw new Error(ajv.errorsText());
    console.log("valid");' "$schema" "$file"
done
check "a release's names are those of its repository" "" grep -qF -e 'io.github.Owner/pixazo-mcp' "$tmp/release/packaging/server.json"
check "a release's links are made of its repository, written as Git has it" "" grep -qF -e 'https://github.com/Owner/pixazo-mcp/releases/download/v9.8.7/' "$tmp/release/packaging/server.json"
check "a release's plugin starts its npm package" "" grep -qF -e '"@owner/pixazo-mcp@9.8.7"' "$tmp/release/packaging/plugin/.mcp.json"

# What would make links that lead nowhere, or names that a registry refuses.
for wrong in REPOSITORY=git@github.com:Owner/pixazo-mcp.git REPOSITORY=https://github.com/ \
  VERSION=v9.8.7 VERSION=latest NAME=no-slash NPM=@Owner/pixazo-mcp IMAGE=ghcr.io/owner/pixazo-mcp:9.8.7; do
  check "no release is made with $wrong" "${wrong%%=*} must be" sh -c '! env "$0" node packaging/release.mjs "$1" 2>&1' "$wrong" "$tmp/wrong"
done
check "nor with a password, which is not shown" 'got "https://…@github.com/' sh -c '! REPOSITORY=https://user:sec/ret@github.com/owner/name node packaging/release.mjs "$0" 2>&1' "$tmp/wrong"

# in_home COMMAND...: with an empty home, the built program on the PATH, and nothing else.
go build -o "$tmp/bin/" .
mkdir "$tmp/home"
in_home() {
  timeout 300 env -i "HOME=$tmp/home" "PATH=$tmp/bin:$PATH" PIXAZO_SANDBOX=true DISABLE_AUTOUPDATER=1 DISABLE_TELEMETRY=1 \
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 GEMINI_CLI_TRUST_WORKSPACE=true "$@"
}

if [ -n "${CLAUDE:-}" ]; then
  check "Claude Code: the plugin is valid" "Validation passed" in_home "$CLAUDE" plugin validate packaging/plugin
  check "Claude Code: the marketplace is valid" "Validation passed" in_home "$CLAUDE" plugin validate .
  check "Claude Code: the marketplace is added" "Successfully added" in_home "$CLAUDE" plugin marketplace add "$PWD"
  check "Claude Code: the plugin is installed" "Successfully installed" in_home "$CLAUDE" plugin install pixazo-mcp@pixazo-mcp
  check "Claude Code: it has the skill" make-video in_home "$CLAUDE" plugin details pixazo-mcp
  check "Claude Code: it starts the server" Connected in_home "$CLAUDE" mcp list
fi
if [ -n "${CODEX:-}" ]; then
  check "Codex: the marketplace is added" "Added marketplace" in_home "$CODEX" plugin marketplace add "$PWD"
  check "Codex: the plugin is installed" "Added plugin" in_home "$CODEX" plugin add pixazo-mcp@pixazo-mcp
  check "Codex: it has the skill" pixazo-mcp:make-video in_home "$CODEX" debug prompt-input hello
  # Its app server ends when its input does, so that stays open until the tools are there.
  check "Codex: it starts the server" generate_video in_home bash -c 'coproc codex { exec "$0" app-server 2>/dev/null; }
    printf "%s\n" "$@" >&"${codex[1]}" && grep -m 1 -o generate_video <&"${codex[0]}"; kill "$codex_PID"' "$CODEX" \
    '{"id":1,"method":"initialize","params":{"clientInfo":{"name":"e2e","version":"1"}}}' '{"method":"initialized"}' '{"id":2,"method":"mcpServerStatus/list","params":{}}'
fi
if [ -n "${GEMINI:-}" ]; then
  check "Gemini CLI: the extension is valid" "successfully validated" in_home "$GEMINI" extensions validate packaging/plugin
  check "Gemini CLI: the extension is installed" "installed successfully" in_home "$GEMINI" extensions install packaging/plugin --consent --skip-settings
  check "Gemini CLI: it has the skill" make-video in_home "$GEMINI" skills list
  check "Gemini CLI: it starts the server" Connected in_home "$GEMINI" mcp list
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
