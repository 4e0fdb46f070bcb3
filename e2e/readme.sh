#!/usr/bin/env bash
# Runs the shell lines of README.md and docs/clients.md as printed, in the
# clone's root. They stand in fenced code between <!-- run:begin --> and
# <!-- run:end -->; the one thing replaced is the word REQUEST_ID, by the id
# that the last generate_video line printed. Needs Go and npm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tmp=$(mktemp -d)
# A keeper that has just saved a video may write there for a moment more.
trap 'rm -rf "$tmp" 2>/dev/null || { sleep 5; rm -rf "$tmp"; }' EXIT

# A reader has a home without videos: "wait" would wait for those of this one. What Go and npm
# keep, and how they are set, is told by files of the home, since the Inspector passes the
# server few variables.
go=("GOPATH=$(go env GOPATH)" "GOCACHE=$(go env GOCACHE)" "GOMODCACHE=$(go env GOMODCACHE)") goenv=$(go env GOENV)
cache=$(npm config get cache) npmrc=$(npm config get userconfig)
mkdir "$tmp/home"
export HOME=$tmp/home
unset XDG_STATE_HOME XDG_CONFIG_HOME XDG_DATA_HOME GOENV NPM_CONFIG_USERCONFIG npm_config_userconfig
mkdir -p "$(dirname "$(go env GOENV)")"
[ ! -f "$goenv" ] || cp "$goenv" "$(go env GOENV)"
[ ! -f "$npmrc" ] || cp "$npmrc" "$HOME/.npmrc"
go env -w "${go[@]}"
npm config set cache "$cache"

passed=0 failed=0 id=""

# A line that ends in a backslash goes on in the next; comments are left out.
awk '
  /<!-- run:begin -->/       { on = 1; next }
  /<!-- run:end -->/         { on = 0 }
  on && /^ *```/             { fenced = !fenced; next }
  on && fenced && sub(/\\$/, "") { cmd = cmd $0; next }
  on && fenced               { print cmd $0; cmd = "" }
' README.md docs/clients.md | grep -vE '^ *(#|$)' >"$tmp/commands" || true

# wanted LINE: what that line must print, beside exiting 0.
wanted() {
  case "$1" in
    *tools/list*) echo '"wait_for_video"' ;;
    *generate_video*) echo '"request_id": "heygen-video-agent_' ;;
    *get_status*) echo "\"request_id\": \"$id\"" ;;
    *wait_for_video*) echo '"status": "COMPLETED"' ;;
    *download_video*) echo 'tides.mp4' ;;
    *resources/read*) echo '"mimeType": "text/markdown"' ;;
    *'pixazo-mcp wait REQUEST_ID'*) echo "$id  COMPLETED" ;;
  esac
}

while IFS= read -r printed <&3; do
  cmd=${printed//REQUEST_ID/$id}
  want=$(wanted "$printed")
  rc=0
  timeout 600 bash -c "$cmd" </dev/null >"$tmp/out" 2>"$tmp/err" || rc=$?
  if [ "$rc" = 0 ] && { [ -z "$want" ] || grep -qF -e "$want" "$tmp/out"; }; then
    passed=$((passed + 1))
    echo "ok    $printed"
  else
    failed=$((failed + 1))
    echo "FAIL  $printed: exit $rc, want 0 and ${want:-anything}"
    sed 's/^/      /' "$tmp/out" "$tmp/err" | cut -c -2000
  fi
  case "$printed" in
    *generate_video*) id=$(grep -oE 'heygen-video-agent_[0-9a-f-]{36}' "$tmp/out" | head -n 1) || id="" ;;
  esac
done 3<"$tmp/commands"

# The pages must keep the whole way of a video, from the install on. A build
# belongs to it: compiling anew takes longer than the 30 s in which the
# Inspector wants a connection.
for step in 'npm ci' 'go build' tools/list generate_video get_status wait_for_video resources/read deck.pdf download_video \
  'pixazo-mcp wait' 'pixazo-mcp list'; do
  grep -qF -e "$step" "$tmp/commands" || {
    failed=$((failed + 1))
    echo "FAIL  no line with $step"
  }
done

# What the pages link to must be there.
for page in *.md docs/*.md; do
  for link in $(grep -oE '\]\([^)# ]+' "$page" | sed 's/^](//' | grep -v '^https\?:' || true); do
    [ -e "$(dirname "$page")/$link" ] || {
      failed=$((failed + 1))
      echo "FAIL  $page links to $link, which is not there"
    }
  done
done

# A stranger reads no more; the rest belongs in docs/.
words=$(wc -w <README.md)
[ "$words" -le 2600 ] || {
  failed=$((failed + 1))
  echo "FAIL  README.md has $words words, more than 2,600"
}

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
