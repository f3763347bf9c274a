package secrets

import "bytes"

// addCommands registers what finds passwords in command lines.
func addCommands(f *filter) {
	f.add("sshpass -p", 0, commandPassword)
	f.add("mysql", 0, mysqlPassword)
	f.add("mariadb", 0, mysqlPassword)
	for _, c := range commandFlags {
		f.add(c.command, 0, func(v *view, _, i int) { afterFlag(v, i, c.flag) })
	}
	f.add("rabbitmqctl add_user ", 0, func(v *view, _, i int) { commandWord(v, i, 1) })
	f.add("rabbitmqctl change_password ", 0, func(v *view, _, i int) { commandWord(v, i, 1) })
	f.add("htpasswd -b", 0, func(v *view, _, i int) { commandWord(v, i, 2) })
	f.add("| chpasswd", 0, pipedPassword)
	f.add("--password-stdin", 0, pipedPassword)
	f.add("/user:", 0, netUse)
}

// commandPassword finds the word behind sshpass -p.
func commandPassword(v *view, _, i int) {
	start, end := argument(v.text, i)
	reportPassword(v, flagRule, start, end)
}

// restOfLine returns the end of the command that i stands in.
func restOfLine(text []byte, i int) int {
	end := min(len(text), i+400)
	if k := bytes.IndexByte(text[i:end], '\n'); k >= 0 {
		end = i + k
	}
	return end
}

// mysqlPassword finds mysql -u root -pPASSWORD.
func mysqlPassword(v *view, _, i int) {
	end := restOfLine(v.text, i)
	k := bytes.Index(v.text[i:end], []byte(" -p"))
	if k < 0 || space.has(at(v.text, i+k+3)) {
		return
	}
	start, stop := argument(v.text, i+k+3)
	if start == i+k+3 || isQuote(at(v.text, i+k+3)) {
		reportPassword(v, flagRule, start, stop)
	}
}

// commandFlags are commands that take a password behind a flag of one letter.
var commandFlags = []struct{ command, flag string }{
	{"redis-cli", " -a "},
	{"docker login", " -p "},
	{"podman login", " -p "},
	{"helm registry login", " -p "},
	{"oc login", " -p "},
	{"az login", " -p "},
	{"mongo ", " -p "},
	{"mongosh ", " -p "},
	{"mongodump ", " -p "},
	{"mongorestore ", " -p "},
	{"ldapsearch ", " -w "},
	{"ldapmodify ", " -w "},
	{"ldapadd ", " -w "},
}

// afterFlag finds the password behind a command's flag on the same line.
func afterFlag(v *view, i int, flag string) {
	end := restOfLine(v.text, i)
	if k := bytes.Index(v.text[i:end], []byte(flag)); k >= 0 {
		start, stop := argument(v.text, i+k+len(flag))
		reportPassword(v, flagRule, start, stop)
	}
}

// commandWord finds the password that a command takes as its word n, from the
// keyword on and from 0.
func commandWord(v *view, i, n int) {
	limit := restOfLine(v.text, i)
	for range n {
		_, end := argument(v.text, i)
		if i = end; isQuote(at(v.text, i)) {
			i++
		}
	}
	if start, end := argument(v.text, i); start > i && end <= limit {
		reportPassword(v, flagRule, start, end)
	}
}

// pipedPassword finds the password in echo 'user:password' | chpasswd and in
// echo password | docker login --password-stdin.
func pipedPassword(v *view, i, _ int) {
	from := max(0, i-300)
	from += bytes.LastIndexByte(v.text[from:i], '\n') + 1
	for _, echo := range []string{"echo ", "echo -n ", "printf "} {
		k := bytes.LastIndex(v.text[from:i], []byte(echo))
		if k < 0 {
			continue
		}
		start, end := argument(v.text, from+k+len(echo))
		if user := bytes.IndexByte(v.text[start:end], ':'); user > 0 && hasAt(v.text, i, "| chpasswd") {
			start += user + 1
		}
		if end < i && start < end && v.text[start] != '-' {
			reportPassword(v, flagRule, start, end)
		}
	}
}

// netUse finds the password behind the user in Windows' net use.
func netUse(v *view, i, after int) {
	if line := v.text[max(0, i-200):i]; indexFold(line[bytes.LastIndexByte(line, '\n')+1:], "net use ") >= 0 {
		for after < len(v.text) && !space.has(v.text[after]) {
			after++
		}
		commandWord(v, after, 0)
	}
}
