#!/usr/bin/env bash
# Gives the module another path, which `go install PATH@latest` wants to be where
# the sources are: go.mod and every import of the clone in the current directory.
# Once, before the first release; the change is to be committed.
#
#   packaging/module.sh github.com/OWNER/pixazo-mcp
set -euo pipefail

[ $# = 1 ] || { echo "usage: packaging/module.sh MODULE" >&2; exit 2; }
from=$(go list -m)
go mod edit -module "$1"
# An import is a string at the end of a line, behind "import", a name, or nothing.
git ls-files -z '*.go' | xargs -0 sed -i.before -E "s#^([[:space:]]*(import )?([A-Za-z_.]+ )?\")$from/([^\"]*\")\$#\\1$1/\\4#"
find . -name '*.go.before' -delete
go build ./... && go vet ./... && go mod tidy -diff
