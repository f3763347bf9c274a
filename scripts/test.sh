#!/bin/sh
# Everything that must hold before a change lands: formatting, static checks,
# builds for every system, all tests under the race detector, and the real Codex
# CLI, end to end. Needs Go, and npm for the CLI and for a parser of PowerShell,
# which it installs into node_modules beside their package.json. The shells that
# setup.sh is run under are installed where apt-get is there.
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

step 'what makes releases (a module of its own)'
staticcheck=$(go tool -n staticcheck)
(cd scripts/release && go vet ./... && "$staticcheck" ./... && go test -timeout 10m ./...)

step 'builds'
go build ./...
for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64; do
	CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build -trimpath -o /dev/null ./cmd/codex-proxy
done

# Those that setup.sh must run under: sh of Debian, macOS and Alpine, zsh, and the
# awk of macOS. A test whose shell is missing is skipped.
step 'the shells and awks of setup.sh (apt)'
missing=
for tool in curl dash bash zsh busybox original-awk gawk; do
	command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ] && command -v apt-get >/dev/null; then
	as_root=
	[ "$(id -u)" -eq 0 ] || as_root='sudo -n'
	# shellcheck disable=SC2086 # both are lists of words
	{ $as_root apt-get update && $as_root apt-get install -y --no-install-recommends $missing; } >/dev/null || true
fi
for tool in curl dash bash zsh busybox original-awk gawk; do
	command -v "$tool" >/dev/null || echo "SKIPPED: what needs $tool, which is not installed"
done

step 'a PowerShell for setup.ps1 (npm)'
if command -v pwsh >/dev/null || command -v powershell >/dev/null; then
	echo 'PowerShell is installed: setup.ps1 is run by it'
else
	echo 'PowerShell is not installed: setup.ps1 is parsed, and its edit of config.toml interpreted'
fi
npm ci --prefix internal/onboard/script/testdata/powershell --ignore-scripts --no-audit --no-fund --loglevel=error

step "a browser for the console's pages (apt)"
if ! command -v chromium >/dev/null && command -v apt-get >/dev/null; then
	as_root=
	[ "$(id -u)" -eq 0 ] || as_root='sudo -n'
	{ $as_root apt-get update && $as_root apt-get install -y --no-install-recommends chromium; } >/dev/null || true
fi
command -v chromium >/dev/null || echo "SKIPPED: what looks at pages in a browser; chromium is not installed"

step "a validator of AWS's templates (npm)"
npm ci --prefix deploy/aws/testdata/validate --ignore-scripts --no-audit --no-fund --loglevel=error

step 'a DuckDB that reads what is exported (npm)'
# Without a lock file: it would have to name the programs for all systems, which not
# every registry has.
npm install --prefix internal/parquet/testdata/duckdb --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error ||
	echo 'SKIPPED: what reads exported files back; DuckDB cannot be installed'

step 'the Codex CLI and the stand-ins for AWS (npm, Go)'
if command -v npm >/dev/null; then
	sh scripts/standins.sh
	CODEX_CLI=$PWD/e2e/node_modules/.bin/codex
	export CODEX_CLI
	"$CODEX_CLI" --version
else
	echo 'npm is not installed: the tests with the real CLI would be skipped'
	exit 1
fi

step 'tests (race detector on)'
go test -race -count=1 -timeout 15m ./...
