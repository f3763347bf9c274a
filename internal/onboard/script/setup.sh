#!/bin/sh
# Sets up Codex on this machine to use codex-proxy:
#
#     curl -fsSL URL/setup.sh | sh
#     curl -fsSL URL/setup.sh | sh -s -- --dry-run
#
# For Linux and macOS; needs sh (dash, bash, zsh, BusyBox), awk and curl. Nothing
# of the input is ever evaluated, the token is in no process's arguments, and
# nothing runs until the last line, so half a download does nothing.
#
# What it writes is the same as 'codex-proxy setup' writes. Unlike that command it
# does not check all of config.toml's syntax: only that strings, arrays and inline
# tables end.

# The proxy that served this script puts its own address in here.
served_from='@PUBLIC_URL@'

# The model that is asked where config.toml names none.
default_model='gpt-6.1-sol'

usage() {
	cat <<'END'
Sets up Codex on this machine to use codex-proxy.

usage: curl -fsSL URL/setup.sh | sh -s -- [option...]

  --url URL      address of the proxy, if not the one that served this script
  --token TOKEN  your proxy token, if not CODEX_PROXY_TOKEN and not to be asked
                 for (an argument can be seen by others on this machine)
  --dry-run      show what would change in config.toml, and change nothing
  --uninstall    take everything out again
  --help         print this

CODEX_HOME, else ~/.codex, is where Codex's config.toml is.
END
}

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }

# fail ends the script: what happened, and what to do next.
fail() {
	printf 'codex-proxy setup: %s\n' "$*" >&2
	exit 1
}

misuse() {
	printf 'codex-proxy setup: %s\n' "$*" >&2
	printf 'Try --help.\n' >&2
	exit 2
}

# json_awk is awk's function json(TEXT, WANTED): the string, number or word at the
# dotted path WANTED of a JSON document, "" if there is none. Characters that
# could steer a terminal become "?".
json_awk='
function json(s, wanted,    i, n, c, d, text, keyed) {
	if (s !~ /^[ \t\r\n]*[{]/) return ""
	n = length(s); d = 0; keyed = 0
	for (i = 1; i <= n; i++) {
		c = substr(s, i, 1)
		if (c == "{" || c == "[") { kind[++d] = c; name[d] = ""; keyed = 0 }
		else if (c == "}" || c == "]") { d--; keyed = 0 }
		else if (c == ":") keyed = 1
		else if (c == ",") keyed = 0
		else if (c == "\"") {
			text = ""
			for (i++; i <= n && (c = substr(s, i, 1)) != "\""; i++) {
				if (c == "\\") { c = unescape(substr(s, i + 1, 5)); i += consumed }
				text = text c
			}
			if (kind[d] == "{" && !keyed) name[d] = text
			else if (json_path(d) == wanted) return printable(text)
		} else if (c !~ /[ \t\r\n]/) {
			for (text = c; i < n && substr(s, i + 1, 1) !~ /[],} \t\r\n]/; i++) text = text substr(s, i + 1, 1)
			if (json_path(d) == wanted) return printable(text)
		}
	}
	return ""
}
function json_path(d,    i, p) {
	for (i = 1; i <= d; i++) p = p (i > 1 ? "." : "") name[i]
	return p
}
# unescape returns what stands for the escape whose text, behind the backslash, s
# begins with, and sets consumed to its length.
function unescape(s,    c, i, code) {
	consumed = 1; c = substr(s, 1, 1)
	if (c == "n") return "\n"
	if (c == "t") return "\t"
	if (c == "r" || c == "b" || c == "f") return " "
	if (c != "u") return c
	consumed = 5
	for (i = 2; i <= 5; i++) code = code * 16 + index("0123456789abcdef", tolower(substr(s, i, 1))) - 1
	return (code >= 32 && code < 127 ? sprintf("%c", code) : "?")
}
function printable(s) { gsub(/[\001-\010\013-\037\177]|\302[\200-\237]/, "?", s); return s }
'

# config_awk edits a config.toml. WHAT (environment) is:
#   setup   put our lines in, anew if they are there
#   remove  take them out, and restore what was commented out for them
#   model   print the top-level model
# It fails with its sentence as the output. LAST_NEWLINE=no says that the last
# line has no line ending; PROVIDER_NAME, BASE_URL, WEBSOCKET and TOKEN_FILE are
# TOML strings without their quotes.
config_awk='
BEGIN {
	BEGINS = "# codex-proxy: begin"; ENDS = "# codex-proxy: end"; WAS = "# codex-proxy: was: "
	PROVIDERS = "model_providers"; OURS = PROVIDERS SUBSEP "codex-proxy"
	TRIPLE = "\"\"\""; LITERAL = "\047\047\047"
	what = ENVIRON["WHAT"]
	block = 0       # the line on which the block began that we are in
	mine = 0        # in that block: in one of our own tables
	kept = 1        # whether the statement under way stays
	was = 0         # whether it is commented out
	separated = -1  # how many lines had been kept when our second block began
}
{
	line = $0
	crlf = sub(/\r$/, "", line)
	if (NR == 1) {
		if (substr(line, 1, 3) == "\357\273\277") { mark = substr(line, 1, 3); $0 = substr($0, 4); line = substr(line, 4) }
		eol = crlf ? "\r\n" : "\n"
	}
	begins = quotes == "" && depth <= 0
	if (begins) { depth = 0; statement(line) }
	if (kept) keep(was ? WAS $0 : $0)
	if (!marker) scan(line)
}
END {
	if (failed) exit 3
	if (block) stop("line " block " begins a block of codex-proxy that has no end. Put the line \"" ENDS "\" behind it, or delete the block.")
	if (quotes != "" || depth > 0) stop("it is not valid TOML: what line " opened " opens is never closed.")
	if (failed) exit 3
	if (what == "model") { print model; exit }
	gone = 0
	last = ENVIRON["LAST_NEWLINE"] == "no" && !block_last ? "" : "\n"
	if (separated > 0) {
		if (bare(out[separated]) == "") gone = separated
		else if (separated == n) {
			last = ""
			if (eol == "\r\n") out[n] = bare(out[n])
		}
	}
	printf "%s", mark
	if (what == "setup") first_block()
	for (i = 1; i <= n; i++) {
		if (i == gone) continue
		if (what == "remove" && blocks > 0 && i in restored) out[i] = substr(out[i], length(WAS) + 1)
		printf "%s%s", out[i], (i < n ? "\n" : last)
	}
	if (what == "setup") second_block()
}

# statement decides on the line that begins one.
function statement(line,    header, path, full) {
	kept = 1; was = 0; marker = 1
	if (index(line, BEGINS) == 1) {
		if (block) { stop("line " block " begins a block of codex-proxy that has no end. Put the line \"" ENDS "\" behind it, or delete the block."); return }
		blocks++; block = NR; mine = 0; inner = 0; before = n; blanks = 0; kept = 0
		return
	}
	if (block && index(line, ENDS) == 1) { block = 0; blanks = 0; kept = 0; block_last = 1; return }
	if (index(line, WAS) == 1) {
		if (table == "") restored[n + 1 + blanks] = 1
		return
	}
	if (line ~ /^[ \t]*(#|$)/) {
		if (block && mine && line == "") { kept = 0; blanks++ }
		return
	}
	marker = 0
	header = line ~ /^[ \t]*\[/
	path = dotted(header ? substr(line, match(line, /\[+/) + RLENGTH) : line)
	full = header || table == "" ? path : table SUBSEP path
	ours = full == OURS || index(full, OURS SUBSEP) == 1
	if (header && !(block && ours)) table = path  # what follows our block is in the table above it
	if (block) {
		if (header) {
			mine = ours; inner = 1
			if (mine && separated < 0) separated = before
		}
		if (mine || !inner && path == "model_provider") { kept = 0; blanks = 0 }
		return
	}
	if (what == "model") { if (full == "model" && !header) model = value(line) }
	else if (what == "setup") {
		if (ours) stop("line " NR " makes a provider codex-proxy by hand. Remove it, or rename it, and run this again.")
		if (full == PROVIDERS && !header) stop("line " NR " has all providers in one inline table, to which none can be added. Write them as tables ([model_providers.NAME]), and run this again.")
		was = table == "" && (path == "model_provider" || path == "openai_base_url")
	}
}
# keep writes a line down, after the blank lines that turn out not to be ours.
function keep(text) {
	for (; blanks > 0; blanks--) out[++n] = eol == "\n" ? "" : "\r"
	out[++n] = text
	block_last = 0
}
# scan follows strings, arrays and comments through a line.
function scan(s,    i, c, three) {
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1); three = substr(s, i, 3)
		if (quotes != "") {
			if (c == "\\" && quotes == TRIPLE) i++
			else if (three == quotes) {
				for (i += 2; substr(s, i + 1, 1) == c; ) i++  # the string may end in quotes
				quotes = ""
			}
		} else if (c == "#") return
		else if (three == TRIPLE || three == LITERAL) { if (depth == 0) opened = NR; quotes = three; i += 2 }
		else if (c == "\"") { for (i++; i <= length(s) && (c = substr(s, i, 1)) != "\""; i++) if (c == "\\") i++ }
		else if (c == "\047") { for (i++; i <= length(s) && substr(s, i, 1) != "\047"; ) i++ }
		else if (c == "[" || c == "{") { if (depth++ == 0) opened = NR }
		else if (c == "]" || c == "}") depth--
	}
}
# dotted returns the dotted key that s begins with, its parts joined by SUBSEP.
function dotted(s,    key, c, end) {
	while (1) {
		sub(/^[ \t]+/, "", s)
		c = substr(s, 1, 1)
		if (c == "\"" || c == "\047") {
			s = substr(s, 2); end = index(s, c)
			if (end == 0) return key s
			key = key substr(s, 1, end - 1); s = substr(s, end + 1)
		} else if (match(s, /^[A-Za-z0-9_-]+/)) { key = key substr(s, 1, RLENGTH); s = substr(s, RLENGTH + 1) }
		sub(/^[ \t]+/, "", s)
		if (substr(s, 1, 1) != ".") return key
		key = key SUBSEP; s = substr(s, 2)
	}
}
# value returns the plain string that a line assigns.
function value(s) {
	sub(/^[^=]*=[ \t]*/, "", s)
	if (match(s, /^("[A-Za-z0-9._:\/-]+"|\047[A-Za-z0-9._:\/-]+\047)/)) return substr(s, 2, RLENGTH - 2)
	return ""
}
function bare(s) { sub(/\r$/, "", s); return s }
function stop(text) { if (!failed) print text; failed = 1 }
function ours_begin() { printf "%s (written by codex-proxy setup; \047codex-proxy setup --uninstall\047 removes it)%s", BEGINS, eol }
function first_block() {
	if (eol == "") eol = "\n"
	ours_begin()
	printf "model_provider = \"codex-proxy\"%s%s%s", eol, ENDS, eol
}
# One line ending stands before it: a blank line, or the end of a last line that
# had none.
function second_block() {
	printf "%s", eol
	ours_begin()
	printf "[model_providers.codex-proxy]%s", eol
	printf "name = \"%s\"%s", ENVIRON["PROVIDER_NAME"], eol
	printf "base_url = \"%s\"%s", ENVIRON["BASE_URL"], eol
	printf "wire_api = \"responses\"%s", eol
	printf "supports_websockets = %s%s%s", ENVIRON["WEBSOCKET"], eol, eol
	printf "[model_providers.codex-proxy.auth]%s", eol
	printf "command = \"cat\"%s", eol
	printf "args = [\"%s\"]%s%s%s", ENVIRON["TOKEN_FILE"], eol, ENDS, eol
}
'

# config runs config_awk for WHAT=$1 over the config.toml that is there.
config() {
	last_newline=yes
	found=/dev/null
	if [ -f "$config_file" ]; then
		found=$config_file
		[ -z "$(tail -c 1 "$found")" ] || last_newline=no
	fi
	WHAT=$1 LAST_NEWLINE=$last_newline PROVIDER_NAME=$provider_name BASE_URL=$url/v1 WEBSOCKET=$websocket TOKEN_FILE=$token_toml \
		awk "$config_awk" "$found"
}

# find_files tells where everything is: config_file is what a symbolic link leads
# to, so that the link stays.
find_files() {
	codex_home=${CODEX_HOME:-${HOME:?HOME is not set}/.codex}
	case $codex_home in
	/*) ;;
	*) codex_home=$PWD/$codex_home ;;
	esac
	case $codex_home in
	*[[:cntrl:]]*) fail "the name of Codex's folder has a control character in it; set CODEX_HOME to another." ;;
	esac
	token_file=$codex_home/codex-proxy-token
	token_toml=$(TEXT=$token_file awk 'BEGIN {
		s = ENVIRON["TEXT"]
		for (i = 1; i <= length(s); i++) { c = substr(s, i, 1); printf "%s", (c == "\\" || c == "\"" ? "\\" : "") c }
	}')
	config_file=$codex_home/config.toml
	links=0
	while [ -L "$config_file" ]; do
		links=$((links + 1))
		[ "$links" -le 40 ] || fail "$codex_home/config.toml is a symbolic link that leads in a circle."
		target=$(readlink "$config_file") || fail "cannot read the symbolic link $config_file."
		case $target in
		/*) config_file=$target ;;
		*) config_file=$(dirname "$config_file")/$target ;;
		esac
	done
	if [ -e "$config_file" ] && ! [ -f "$config_file" ]; then
		fail "$config_file is not a regular file."
	fi
	if [ -f "$config_file" ] && ! [ -r "$config_file" ]; then
		fail "you have no permission to read $config_file. Nothing was changed."
	fi
}

# check_url accepts only an address that is harmless wherever it is written.
check_url() {
	url=${url%/}
	url=${url%/v1}
	case $url in
	@*) misuse 'this copy of the script was not served by a proxy: name one with --url.' ;;
	*[!]A-Za-z0-9.:/_[-]*) misuse "the proxy's address must be like https://proxy.example.com." ;;
	http://[[A-Za-z0-9]* | https://[[A-Za-z0-9]*) ;;
	*) misuse "the proxy's address must be like https://proxy.example.com." ;;
	esac
	case $url in
	http://127.* | http://localhost | http://localhost[:/]* | http://\[::1\]* | https://*) ;;
	*) warn "$url is not encrypted: everyone on the way can read your token and your prompts. Ask for an https:// address." ;;
	esac
}

# read_token takes the token from --token, CODEX_PROXY_TOKEN or the terminal.
read_token() {
	if [ -z "$token" ] && [ "$dry_run" = no ]; then
		(: </dev/tty) 2>/dev/null || fail 'no token: set CODEX_PROXY_TOKEN, give --token, or run this in a terminal to be asked for it.'
		terminal=$(stty -g </dev/tty) || fail 'the terminal cannot hide what you type: set CODEX_PROXY_TOKEN instead.'
		stty -echo </dev/tty # before the question, so that nothing typed after it is shown
		printf 'Your codex-proxy token (not shown): ' >/dev/tty
		IFS= read -r token </dev/tty
		stty "$terminal" </dev/tty
		terminal=
		printf '\n' >/dev/tty
		[ -n "$token" ] || fail 'no token was typed. Nothing was changed.'
	fi
	case $token in
	*[!!-~]*) fail 'the token has blanks, line breaks or other characters in it that no token has. Copy it again.' ;;
	esac
}

# request asks the proxy: request NAME PATH [curl option...]. The answer is in
# $work/NAME, its status in $answered. The token goes through a pipe, not through
# curl's arguments, and $bearer is empty where none is to be sent. ~/.curlrc is not
# read: Codex does not read it either.
request() {
	name=$1
	address=$url$2
	shift 2
	answered=$({ [ -z "$bearer" ] || printf 'header = "Authorization: Bearer %s"\n' "$bearer"; } |
		curl -q -K - -g -sS --proto '=http,https' --connect-timeout 15 --max-time "$patience" \
			-o "$work/$name" -w '%{http_code}' "$@" "$address" 2>"$work/curl") || {
		reason=$(sed 's/^curl: ([0-9]*) //; 1q' "$work/curl")
		return 1
	}
	[ -e "$work/$name" ] || : >"$work/$name"
}

# answer prints what the JSON answer $1 has at the path $2.
answer() {
	WANTED=$2 awk "$json_awk"' { text = text $0 "\n" } END { print json(text, ENVIRON["WANTED"]) }' "$work/$1"
}

# sentence prints what the answer $1 says was wrong.
sentence() {
	said=$(answer "$1" error.message)
	if [ -z "$said" ]; then
		said=$(awk "$json_awk"' NR == 1 && !/^[ \t]*[<{]/ { print printable(substr($0, 1, 500)) } { exit }' "$work/$1")
	fi
	printf '%s\n' "${said:-it gave no reason (status $answered)}"
}

# check_token asks the proxy whose token it is, before anything is changed.
check_token() {
	patience=30
	bearer=$token_quoted
	request whoami /whoami || fail "cannot reach the proxy at $url: $reason. Nothing was changed."
	owner=$(answer whoami developer)
	case $answered in
	200)
		[ -n "$owner" ] || fail "what answers at $url is not a codex-proxy. Check the address. Nothing was changed."
		team=$(answer whoami team)
		say "This token belongs to $owner${team:+ (team $team)}."
		;;
	401) fail "$(sentence whoami) Nothing was changed." ;;
	*)
		if [ -n "$(answer whoami error.message)" ]; then
			fail "the proxy at $url cannot check the token: $(sentence whoami) Nothing was changed."
		fi
		fail "what answers at $url is not a codex-proxy (status $answered). Check the address. Nothing was changed."
		;;
	esac
}

# ask_proxy finds out whether the proxy carries WebSockets, and what Codex is to call
# it; older ones do not say. No token is sent.
ask_proxy() {
	patience=30
	bearer=
	request setup.json /setup.json || fail "cannot reach the proxy at $url: $reason. Nothing was changed."
	websocket=$(answer setup.json websocket)
	case $answered:$websocket in
	200:true | 200:false) ;;
	*) fail "what answers at $url is not a codex-proxy. Check the address. Nothing was changed." ;;
	esac
	provider_name=$(answer setup.json provider_name)
	provider_name=${provider_name:-codex-proxy}
	case $provider_name in
	*[!A-Za-z0-9\ ._-]*) fail "the proxy at $url wants a name for itself that cannot be written. Nothing was changed." ;;
	esac
}

# mode prints the mode of the file $1 in octal. (stat differs between systems.)
mode() {
	ls -ldn "$1" | awk '{
		for (i = 0; i < 3; i++) {
			bits = substr($1, 2 + 3 * i, 3)
			printf "%d", (bits ~ /r/ ? 4 : 0) + (bits ~ /w/ ? 2 : 0) + (bits ~ /[xst]/ ? 1 : 0)
		}
	}'
}

# unchanged reports whether the new config.toml is the one that is there.
unchanged() {
	[ -f "$config_file" ] && same "$config_file" "$work/config.toml"
}

same() { [ "$(cat "$1" && echo .)" = "$(cat "$2" && echo .)" ]; }

# replace writes the new config.toml, mode and all, in one step.
replace() {
	cat "$work/config.toml" >"$staged_config" && chmod "$1" "$staged_config" && mv -f "$staged_config" "$config_file"
}

# backup copies the developer's config.toml beside it; never over an older copy.
backup() {
	stamp=$codex_home/config.toml.backup-$(date -u +%Y%m%d-%H%M%S)
	copy=$stamp
	number=1
	while [ -e "$copy" ]; do
		number=$((number + 1))
		copy=$stamp-$number
	done
	cp -p "$config_file" "$copy" || return 1
	say "Backup: $copy"
}

# stage makes sure, before anything is changed, that the files can be written.
stage() {
	{
		mkdir -p "$codex_home" &&
			staged_config=$(mktemp "$config_file.new.XXXXXX") &&
			staged_token=$(mktemp "$token_file.new.XXXXXX")
	} 2>"$work/error" || fail "you have no permission to write in $codex_home, or the disk is full ($(sed 1q "$work/error")). Nothing was changed."
}

# write_files puts the token and the new config.toml in place.
write_files() {
	if [ "$dry_run" = yes ]; then
		show_change
		return
	fi
	stage
	printf '%s\n' "$token" >"$staged_token" || fail "cannot write in $codex_home. Nothing was changed."
	if unchanged; then
		changed=no
	elif [ -f "$config_file" ]; then
		changed=yes
		bits=$(mode "$config_file")
		# A copy is made of what the developer had without us.
		if same "$config_file" "$work/theirs"; then
			backup || fail "cannot copy $config_file. Nothing was changed."
		fi
	else
		changed=yes
		bits=600
	fi
	mv -f "$staged_token" "$token_file" || fail "cannot write $token_file."
	staged_token=
	if [ "$changed" = yes ]; then
		replace "$bits" || fail "cannot write $config_file. The token is in $token_file; run this again, or with --uninstall."
		staged_config=
		say "Codex is set up in $codex_home/config.toml for $url."
	else
		say "Codex was set up in $codex_home/config.toml for $url already; the token is stored anew."
	fi
}

# show_change prints a unified diff of config.toml.
show_change() {
	if unchanged; then
		say "$codex_home/config.toml would not change."
		return
	fi
	found=/dev/null
	[ ! -f "$config_file" ] || found=$config_file
	if command -v diff >/dev/null 2>&1; then
		diff -u -L "$codex_home/config.toml" -L "$codex_home/config.toml (new)" "$found" "$work/config.toml"
	else
		say "diff is not installed. $codex_home/config.toml would be:"
		cat "$work/config.toml"
	fi
}

# try_it makes one real request and prints the first line of its answer.
try_it() {
	patience=120
	bearer=$token_quoted
	chosen=$(config model) || chosen=
	request hello /v1/responses -H 'Content-Type: application/json' -H 'Accept: text/event-stream' -d \
		'{"model":"'"${chosen:-$default_model}"'","input":"Say hello in five words.","stream":true,"store":false,"instructions":"Be brief."}' ||
		fail "Codex is set up, but a first request did not get through: $reason."
	[ "$answered" = 200 ] || fail "Codex is set up, but a first request was refused: $(sentence hello)"
	said=$(awk "$json_awk"'
		!/^data:/ { next }
		{ sub(/^data: */, ""); type = json($0, "type") }
		type == "response.output_text.delta" { text = text json($0, "delta") }
		type == "response.output_text.done" { text = json($0, "text"); exit }
		type == "response.failed" { why = json($0, "response.error.message"); exit }
		type == "error" { why = json($0, "error.message"); if (why == "") why = json($0, "message"); exit }
		END {
			if (why != "") { print "-" why; exit }
			sub(/^[ \t\n]+/, "", text); sub(/\n.*/, "", text)
			print "+" text
		}' "$work/hello")
	case $said in
	+?*) say "A first request was answered: ${said#+}" ;;
	-*) fail "Codex is set up, but a first request failed: ${said#-}" ;;
	*) fail 'Codex is set up, but a first request got an empty answer.' ;;
	esac
}

# warn_of_leftovers names what would lead Codex, or another tool, past the proxy.
# Nothing of it is removed, and no value is printed.
warn_of_leftovers() {
	key='with it Codex, or another tool, can go past the proxy. Remove it.'
	base='the current Codex ignores it. Remove it.'
	[ -z "${OPENAI_API_KEY-}" ] || warn "OPENAI_API_KEY is set in the environment: $key"
	[ -z "${OPENAI_BASE_URL-}" ] || warn "OPENAI_BASE_URL is set in the environment: $base"
	for profile in .profile .bashrc .bash_profile .zshrc .zprofile .config/fish/config.fish; do
		profile=$HOME/$profile
		[ -r "$profile" ] || continue
		PROFILE=$profile KEY=$key BASE=$base awk '
			/^[ \t]*#/ { next }
			{ line = " " $0 }
			line ~ /[ \t;&](export|declare|typeset|set|readonly)[ \t].*[ \t"]?OPENAI_API_KEY([= \t]|$)/ || line ~ /^[ \t]+OPENAI_API_KEY=/ {
				print "warning: " ENVIRON["PROFILE"] ", line " NR ", sets OPENAI_API_KEY: " ENVIRON["KEY"]
			}
			line ~ /[ \t;&](export|declare|typeset|set|readonly)[ \t].*[ \t"]?OPENAI_BASE_URL([= \t]|$)/ || line ~ /^[ \t]+OPENAI_BASE_URL=/ {
				print "warning: " ENVIRON["PROFILE"] ", line " NR ", sets OPENAI_BASE_URL: " ENVIRON["BASE"]
			}' "$profile" >&2
	done
	if [ -r "$codex_home/auth.json" ]; then
		held=$(awk "$json_awk"' { text = text $0 "\n" } END { v = json(text, "OPENAI_API_KEY"); print (v == "" || v == "null" ? "no" : "yes") }' "$codex_home/auth.json")
		[ "$held" = no ] || warn "$codex_home/auth.json holds an OpenAI API key: $key ('codex logout' does.)"
	fi
}

install() {
	read_token
	token_quoted=$(printf '%s' "$token" | sed 's/[\\"]/\\&/g')
	[ -z "$token" ] || check_token
	ask_proxy
	config setup >"$work/config.toml" || fail "$codex_home/config.toml was not changed: $(cat "$work/config.toml")"
	config remove >"$work/theirs" || fail "$codex_home/config.toml was not changed: $(cat "$work/theirs")"
	write_files
	warn_of_leftovers
	[ "$dry_run" = yes ] || try_it
}

uninstall() {
	websocket=false
	provider_name=codex-proxy
	config remove >"$work/config.toml" || fail "$codex_home/config.toml was not changed: $(cat "$work/config.toml")"
	if { unchanged || ! [ -f "$config_file" ]; } && ! [ -e "$token_file" ]; then
		say "Codex is not set up for codex-proxy in $codex_home; nothing to remove."
		return
	fi
	if [ "$dry_run" = yes ]; then
		show_change
		return
	fi
	stage
	rm -f "$staged_token"
	staged_token=
	if [ -f "$config_file" ]; then
		if [ -s "$work/config.toml" ] || was_there; then
			replace "$(mode "$config_file")" || fail "cannot write $config_file. Nothing was changed."
			staged_config=
		else
			rm -f "$config_file" || fail "cannot remove $config_file. Nothing was changed."
		fi
	fi
	rm -f "$token_file" || fail "cannot remove $token_file."
	say "Codex no longer uses codex-proxy: $codex_home/config.toml is as it was before."
}

# was_there reports whether there was a config.toml before ours: then there is a
# copy of it.
was_there() {
	for copy in "$codex_home"/config.toml.backup-*; do
		[ -e "$copy" ] && return 0
	done
	return 1
}

cleanup() {
	[ -z "$terminal" ] || stty "$terminal" </dev/tty
	[ -z "$staged_config" ] || rm -f "$staged_config"
	[ -z "$staged_token" ] || rm -f "$staged_token"
	[ -z "$work" ] || rm -rf "$work"
}

main() {
	if [ -n "${ZSH_VERSION-}" ]; then
		emulate sh
	fi
	set -u
	umask 077
	LC_ALL=C
	export LC_ALL

	url=$served_from
	token=${CODEX_PROXY_TOKEN-}
	unset CODEX_PROXY_TOKEN # no child needs it
	dry_run=no
	action=install
	terminal=''
	work=''
	staged_config=''
	staged_token=''
	while [ $# -gt 0 ]; do
		case $1 in
		--url | --token)
			[ $# -ge 2 ] || misuse "$1 needs a value."
			case $1 in
			--url) url=$2 ;;
			--token) token=$2 ;;
			esac
			shift
			;;
		--url=*) url=${1#*=} ;;
		--token=*) token=${1#*=} ;;
		--dry-run) dry_run=yes ;;
		--uninstall) action=uninstall ;;
		--help | -h)
			usage
			exit 0
			;;
		*) misuse 'there is an argument that is not known.' ;;
		esac
		shift
	done
	for tool in awk curl; do
		command -v "$tool" >/dev/null 2>&1 || fail "$tool is not installed, and this script needs it."
	done

	trap cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	work=$(mktemp -d "${TMPDIR:-/tmp}/codex-proxy-setup.XXXXXX") || fail 'cannot make a temporary folder.'
	find_files
	if [ "$action" = uninstall ]; then
		uninstall
		return
	fi
	check_url
	install
}

# A brace that is closed on the same line: a download that breaks off here runs
# nothing.
{ main "$@"; }
