#!/bin/sh
# Installs what stands in for AWS in the tests: dynalite for DynamoDB (npm, with
# the Codex CLI, into e2e/node_modules) and versitygw for S3 (Go, built once into
# .tools). What is installed already stays. Tests are skipped where one is missing.
set -eu
cd "$(dirname "$0")/.."

if ! node -e "require('./e2e/node_modules/dynalite/package.json').version === require('./e2e/package.json').dependencies.dynalite || process.exit(1)" 2>/dev/null; then
	npm ci --prefix e2e --no-audit --no-fund --loglevel=error
fi

# A build that changes nothing takes a second.
mkdir -p .tools
(cd internal/standin/versitygw && go build -o ../../../.tools/versitygw github.com/versity/versitygw/cmd/versitygw)
