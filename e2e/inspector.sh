#!/usr/bin/env bash
# Makes a video with MCP Inspector through the sandbox entry of mcp.json: a
# client that others wrote, and a new server process for every call.
# Needs Go, and `npm ci --prefix e2e` done. Runs from any directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

node=e2e/node_modules/.bin/node
[ -x "$node" ] || { echo "first run: npm ci --prefix e2e" >&2; exit 1; }
go build -o /dev/null . # so that the first call's time goes into the call

tmp=$(mktemp -d)
# A keeper that has just saved a video may write there for a moment more.
trap 'rm -rf "$tmp" 2>/dev/null || { sleep 5; rm -rf "$tmp"; }' EXIT
passed=0 failed=0 rc=0

# inspect ARGS: one call of the Inspector; leaves $rc, $tmp/out and $tmp/err. Each
# run has a journal and videos of its own: an earlier run's request would make this one's a
# duplicate.
inspect() {
  rc=0
  npx --prefix e2e mcp-inspector --cli --config mcp.json --server pixazo-sandbox -e "PIXAZO_STATE_DIR=$tmp/state" -e "PIXAZO_OUTPUT_DIR=$tmp/videos" --format json "$@" \
    </dev/null >"$tmp/out" 2>"$tmp/err" || rc=$?
}

# value EXPR: a JavaScript expression over the last answer, printed. `r` is the
# result, `s` its structured content, `text` its text, `answer` the whole line.
value() {
  "$node" -e '
    const answer = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
    const r = answer.result, s = r.structuredContent ?? {};
    const text = (r.content ?? r.contents ?? []).map(c => c.text).join("\n");
    console.log(eval(process.argv[2]));' "$tmp/out" "$1" 2>>"$tmp/err"
}

# check NAME STATUS EXPR: the last call exited with STATUS and EXPR is true.
check() {
  local got
  got=$(value "$3") || got="no answer to look at"
  if [ "$rc" = "$2" ] && [ "$got" = true ]; then
    passed=$((passed + 1))
    echo "ok    $1"
  else
    failed=$((failed + 1))
    echo "FAIL  $1: exit $rc, want $2; $3: $got"
    sed 's/^/      /' "$tmp/out" "$tmp/err" | cut -c -2000
  fi
}

for era in legacy modern; do
  inspect --method tools/list --strict --protocol-era "$era"
  check "$era: the tools are listed" 0 \
    '["generate_video", "get_status", "wait_for_video"].every(n => r.tools.some(t => t.name === n))'
  check "$era: the schemas draw no warning" 0 'answer.schemaFindings === undefined'
  check "$era: every tool has a title, a description, an output schema and all four hints" 0 \
    'r.tools.every(t => (t.title || t.annotations.title) && t.description && t.outputSchema &&
       ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"].every(h => typeof t.annotations[h] === "boolean"))'
  # The order of keys is the Inspector's, and it differs.
  value 'JSON.stringify(r.tools, (_, v) => v?.constructor === Object ? Object.fromEntries(Object.entries(v).sort()) : v)' \
    >"$tmp/$era" || true
done
check "both eras list the same tools" 0 \
  "$(cmp -s "$tmp/legacy" "$tmp/modern" && [ -s "$tmp/legacy" ] && echo true || echo false)"

inspect --method tools/call --tool-name generate_video \
  --tool-arg 'prompt=A friendly presenter explains tides in 30 seconds.' --tool-arg orientation=landscape
check "generate_video answers with a request_id, in words too" 0 \
  '/^heygen-video-agent_[0-9a-f-]{36}$/.test(s.request_id) && text.includes(s.request_id) && s.done === false'
id=$(value 's.request_id') || id=none

inspect --method tools/call --tool-name get_status --tool-arg "request_id=$id"
check "get_status knows it in another process" 0 \
  "s.request_id === '$id' && ['QUEUED', 'PROCESSING', 'COMPLETED'].includes(s.status)"

for _ in 1 2 3 4 5; do
  inspect --method tools/call --tool-name wait_for_video --tool-arg "request_id=$id" --tool-arg timeout_seconds=30
  [ "$rc" = 0 ] && [ "$(value 's.done')" = false ] || break
done
check "wait_for_video brings the finished video" 0 \
  "s.request_id === '$id' && s.status === 'COMPLETED' && s.done === true && /^https?:/.test(s.video_urls[0]) && text.includes(s.video_urls[0])"

for era in legacy modern; do
  inspect --method resources/read --uri pixazo://guide/prompting --protocol-era "$era"
  check "$era: the guide can be read" 0 \
    'r.contents[0].mimeType === "text/markdown" && text.startsWith("# ") && text.includes("incognito_mode")'
done

inspect --method tools/call --tool-name generate_video --tool-arg 'prompt=A presenter.' --tool-arg orientatoin=portrait
check "an unknown argument is an error that names it" 5 \
  'r.isError === true && text.startsWith("invalid_argument: ") && text.includes("orientatoin")'

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
