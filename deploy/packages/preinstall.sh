#!/bin/sh
# Before the files are installed, on Debian's and Red Hat's kin: the user that the
# service runs as.
set -e
if ! getent passwd codex-proxy >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/codex-proxy --no-create-home \
		--shell /usr/sbin/nologin --comment 'codex-proxy' codex-proxy
fi
