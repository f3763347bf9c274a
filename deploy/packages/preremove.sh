#!/bin/sh
# Before the files are removed. Debian says "remove", Red Hat how many versions
# will be left; on an upgrade the service goes on until the new version restarts it.
set -e
case $1 in
remove | 0)
	if [ -d /run/systemd/system ] && ! systemctl disable --now codex-proxy.service; then
		echo 'codex-proxy: the service could not be stopped; it may still be running' >&2
	fi
	;;
esac
