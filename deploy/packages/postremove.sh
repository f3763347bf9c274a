#!/bin/sh
# After the files are removed. What is on record stays, even on a purge, and so
# does the user that owns it: an archive is not deleted by an installer.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || echo 'codex-proxy: systemd still knows the service; run: systemctl daemon-reload' >&2
fi
case $1 in
purge | 0)
	if [ -d /var/lib/codex-proxy ]; then
		echo 'codex-proxy: /var/lib/codex-proxy with all records is left in place, with its owner, the user codex-proxy'
	fi
	;;
esac
