#!/bin/sh
# Takes a picture of every page of the console, over the demo's data: light and dark,
# at 1280 and at 390 pixels. Needs Go, Chromium, and the directory to write to.
#
#   sh scripts/screenshots.sh DIRECTORY
#
# With names of pages, only their wide pictures are written, as those of the README:
#
#   sh scripts/screenshots.sh docs/screenshots overview session findings live
set -eu
[ $# -ge 1 ] || { echo 'usage: sh scripts/screenshots.sh DIRECTORY [PAGE…]' >&2; exit 2; }
mkdir -p "$1"
directory=$(cd "$1" && pwd)
shift
SCREENSHOTS=$directory
if [ $# -gt 0 ]; then
	SCREENSHOTS=$(mktemp -d)
	trap 'rm -rf "$SCREENSHOTS"' EXIT
fi
export SCREENSHOTS
cd "$(dirname "$0")/.."
go test ./e2e -count=1 -run TestEveryPageOfTheConsoleInABrowser
for page; do
	for theme in light dark; do
		cp "$SCREENSHOTS/$page-$theme-1280.png" "$directory/$page-$theme.png"
	done
done
ls "$directory"
