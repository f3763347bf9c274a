#!/bin/sh
# Takes a picture of every page of the console, over the demo's data: light and dark,
# at 1280 and at 390 pixels. Needs Go, Chromium, and the directory to write to.
#
#   sh scripts/screenshots.sh DIRECTORY
set -eu
[ $# -eq 1 ] || { echo 'usage: sh scripts/screenshots.sh DIRECTORY' >&2; exit 2; }
mkdir -p "$1"
SCREENSHOTS=$(cd "$1" && pwd)
export SCREENSHOTS
cd "$(dirname "$0")/.."
go test ./e2e -count=1 -run TestEveryPageOfTheConsoleInABrowser
ls "$SCREENSHOTS"
