#!/bin/sh
# After the files are installed. Debian says "configure" and, on an upgrade, the
# version before; Red Hat says how many versions are installed now.
set -e

# The commands may be used before the service has run once.
install -d -o codex-proxy -g codex-proxy -m 0700 /var/lib/codex-proxy

upgrade=
case $1 in
configure) [ -z "$2" ] || upgrade=yes ;;
abort-*) exit 0 ;;
1) ;;
*) upgrade=yes ;;
esac

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || echo 'codex-proxy: systemd still knows the service as it was; run: systemctl daemon-reload' >&2
	# Running streams may go on for minutes; the installer need not wait for them.
	if [ -n "$upgrade" ] && ! systemctl --no-block try-restart codex-proxy.service; then
		echo 'codex-proxy: the version before is still running; run: systemctl restart codex-proxy' >&2
	fi
fi

if [ -z "$upgrade" ]; then
	cat <<-'EOF'
		codex-proxy is installed; nothing runs yet.
		  1. OpenAI's key:   /etc/codex-proxy/env
		  2. Settings:       /etc/codex-proxy/codex-proxy.toml
		  3. Start it:       systemctl enable --now codex-proxy
	EOF
fi
