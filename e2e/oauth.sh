#!/usr/bin/env bash
# Signs users of the TypeScript SDKs 1 and 2 in at an authorization server that
# others wrote (npm oidc-provider), and has them make videos with the built team
# server, in both eras: 401, metadata, registration, PKCE, call. Needs Go and
# npm. Runs from any directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

e2e/install.sh e2e/oauth
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go build -o "$tmp/" .
e2e/oauth/node_modules/.bin/node e2e/oauth/oauth.mjs "$tmp/pixazo-mcp" "$tmp"
