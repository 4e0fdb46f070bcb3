.DEFAULT_GOAL := help
FUZZTIME ?= 60s
golangci-lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-10s %s\n", $$1, $$2 }'

.PHONY: build
build: ## build the program for this system
	go build .

.PHONY: test
test: ## run the tests
	go test ./...

.PHONY: check
check: ## all that must hold before a change is taken in
	.ci/run

.PHONY: golden
golden: ## write anew what is made from the code, and show what changed
	go generate ./tools
	go test ./tools -update
	go test ./packaging/mcpb -run Manifest -update
	node packaging/release.mjs
	go test . -run 'GoldenSessions|Architecture' -update
	git diff --stat

.PHONY: lint
lint: ## run golangci-lint; it takes some minutes to compile the first time
	go run $(golangci-lint) run

.PHONY: fuzz
fuzz: ## fuzz every target for FUZZTIME
	FUZZTIME=$(FUZZTIME) .ci/fuzz

.PHONY: bench
bench: ## take the figures of docs/performance.md
	go test -run '^$$' -bench 'ColdStart|IdleMemory' -benchtime 100x .
	go test -run '^$$' -bench GetStatus -benchtime 2000x .
	go test -run '^$$' -bench Keeper -benchtime 20x .
	go test -run '^$$' -bench Team -benchtime 1x .
	go test -run '^$$' -bench Waiters -benchtime 20x ./internal/jobs
	go test -run '^$$' -bench 'SubmitJournal$$' -benchtime 200x ./internal/jobs
	PIXAZO_TEST_MILLION=1 go test -run '^$$' -bench Large -benchtime 200x -timeout 30m ./internal/journal
	go test -run '^$$' -bench Download -benchtime 5x ./internal/download

.PHONY: bundles
bundles: ## build the MCP bundles of one-click installation into dist/
	packaging/mcpb/build.sh

.PHONY: release
release: ## check that a release can be made; publishes nothing
	.ci/release
