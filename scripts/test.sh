#!/bin/sh
# Everything that must hold before a change lands: formatting, static checks,
# builds for every system, all tests under the race detector, and the real Codex
# CLI, end to end. Needs Go, and npm for the CLI, which it installs into
# e2e/node_modules.
set -eu
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step 'formatting (gofumpt)'
unformatted=$(go tool gofumpt -l .)
if [ -n "$unformatted" ]; then
	printf 'run "go tool gofumpt -w ." on:\n%s\n' "$unformatted"
	exit 1
fi

step 'static checks (vet, staticcheck)'
go vet ./...
go tool staticcheck ./...

step 'builds'
go build ./...
for target in linux/arm64 darwin/arm64 windows/amd64; do
	CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build -o /dev/null ./cmd/codex-proxy
done

step 'the Codex CLI (npm)'
if command -v npm >/dev/null; then
	npm ci --prefix e2e --no-audit --no-fund --loglevel=error
	CODEX_CLI=$PWD/e2e/node_modules/.bin/codex
	export CODEX_CLI
	"$CODEX_CLI" --version
else
	echo 'npm is not installed: the tests with the real CLI would be skipped'
	exit 1
fi

step 'tests (race detector on)'
go test -race -timeout 15m ./...
