#!/bin/sh
# Builds all that is given out into dist/: scripts/release.sh --base-url URL, or
# --snapshot for the work tree as it is. Needs Go, git and the modules in Go's
# cache, but no network. docs/release.md says what comes out.
set -eu
cd "$(dirname "$0")/release"
exec go run . "$@"
