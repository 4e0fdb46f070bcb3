#!/usr/bin/env bash
# Runs the quarter of an hour of docs/team.md as printed, in one shell, in a home
# of its own: PostgreSQL, two replicas, nginx. Needs Debian, Go and root, for it
# installs packages, and makes and drops the database that the document does.
# Runs from any directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tmp=$(mktemp -d)
clone=$tmp/clone
service=$(service postgresql status 2>/dev/null || true)
cleanup() {
  rm -rf "$tmp"
  [[ $service = *online* ]] || service postgresql stop > /dev/null 2>&1 || true
}
trap cleanup EXIT
mkdir "$clone" "$tmp/home"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$clone" # a clone as it stands here
export GOPATH=${GOPATH:-$(go env GOPATH)} GOCACHE=$(go env GOCACHE)

# What the document says, with a mark before each call, so that the answers can
# be told apart.
awk '
  /<!-- run:begin -->/ { on = 1; next }
  /<!-- run:end -->/   { on = 0 }
  on && /^```/         { fenced = !fenced; next }
  on && fenced         { if (/^(call|curl|kill) /) print "echo; echo \"== " ++n "\""; print }
' docs/team.md > "$tmp/lines"

# Root has no sudo in a container, and another HOME is none of its business.
cat > "$tmp/run" <<'RUN'
set -eu
trap 'kill $(jobs -p) $(cat ~/team/nginx.pid) 2>/dev/null || true' EXIT
sudo() { if [ "$1" = -u ]; then runuser -u "$2" -- "${@:3}"; else "$@"; fi; }
cd "$1"
RUN
cat "$tmp/lines" >> "$tmp/run"

if ! HOME=$tmp/home DEBIAN_FRONTEND=noninteractive timeout 900 bash "$tmp/run" "$clone" > "$tmp/out" 2> "$tmp/err" < /dev/null; then
  cat "$tmp/out" "$tmp/err" "$tmp"/home/team/*.log
  exit 1
fi

passed=0 failed=0
want() { # MARK WORD: the answer behind that mark has the word
  if awk -v mark="== $1" '$0 == mark { on = 1; next } /^== / { on = 0 } on' "$tmp/out" | grep -qF -e "$2"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "call $1 lacks: $2"
  fi
}
want 1 '"status":"QUEUED"'
id=$(grep -o 'heygen-video-agent_[0-9a-f-]*' "$tmp/out" | head -1)
want 2 "${id:-no id}" # by the other replica
want 3 "${id:-no id}" # by the proxy
want 5 "${id:-no id}" # with one replica killed
want 6 '"owner":"token:alice"'
[ "$failed" = 0 ] || cat "$tmp/out" "$tmp/err" "$tmp"/home/team/*.log
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
