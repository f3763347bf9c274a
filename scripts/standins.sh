#!/bin/sh
# Installs what stands in for AWS in the tests: dynalite for DynamoDB (npm, with
# the Codex CLI, into e2e/node_modules) and versitygw for S3 (Go, built once into
# .tools). What is installed already stays. Tests are skipped where one is missing.
set -eu
cd "$(dirname "$0")/.."

if ! node -e "
	for (const [name, version] of Object.entries(require('./e2e/package.json').dependencies))
		if (require('./e2e/node_modules/' + name + '/package.json').version !== version) process.exit(1)
" 2>/dev/null; then
	npm ci --prefix e2e --no-audit --no-fund --loglevel=error
fi

# A build that changes nothing takes a second.
mkdir -p .tools
(cd internal/standin/versitygw && go build -o ../../../.tools/versitygw github.com/versity/versitygw/cmd/versitygw)
