package secrets

import "bytes"

// nameKind is what a name says about the value that it is given.
type nameKind uint8

const (
	namesNothing  nameKind = iota
	namesKey               // "key" of something: only a very random value is a secret
	namesToken             // a token or a key that is drawn by a machine
	namesSecret            // the same, and said to be secret: also short or a UUID
	namesPassword          // chosen by a person
	namesAuth              // base64 of user:password
)

const longestName = 96

// name is an identifier taken apart: "aws_secretAccessKey" is the words aws,
// secret, access, key.
type name struct {
	folded [longestName]byte
	words  [16][]byte
	n      int
}

// split takes an identifier apart at separators and at humps.
func (n *name) split(identifier []byte) {
	n.n = 0
	identifier = identifier[:min(len(identifier), longestName)]
	start := 0
	flush := func(end int) {
		if end > start && n.n < len(n.words) {
			n.words[n.n] = n.folded[start:end]
			n.n++
		}
	}
	for i, c := range identifier {
		n.folded[i] = fold(c)
		switch {
		case !alnum.has(c):
			flush(i)
			start = i + 1
		case i > 0 && upper.has(c) && lower.has(identifier[i-1]),
			i > 1 && lower.has(c) && upper.has(identifier[i-1]) && upper.has(identifier[i-2]) && i-1 > start:
			end := i
			if lower.has(c) {
				end = i - 1
			}
			flush(end)
			start = end
		}
	}
	flush(len(identifier))
}

func (n *name) word(fromEnd int) string {
	if fromEnd >= n.n {
		return ""
	}
	return string(n.words[n.n-1-fromEnd])
}

// suffixes are words that follow a name without changing what it names.
var suffixes = set("value", "val", "string", "str", "plain", "raw", "text", "b64", "base64", "encoded", "decoded", "data", "prod", "production", "staging", "stage", "dev", "live", "new", "old", "current", "default", "main", "primary", "secondary", "test", "local", "v1", "v2", "env", "const")

// denials are words that make any name harmless.
var denials = set(
	"count", "max", "min", "limit", "continuation", "pagination", "csrf", "xsrf", "public", "pub", "hash", "hashed", "digest", "checksum", "label", "placeholder",
	"tokenizer", "tokens", "next", "prev", "length", "size", "idempotency", "policy", "hint", "regex", "pattern", "sha", "sha256", "md5", "crc", "etag", "fingerprint", "publishable", "keyboard", "correlation", "encrypted", "sealed", "cancellation", "authenticity", "antiforgery", "nonce",
)

// nearDenials make a token or a key harmless just before it, and nowhere else:
// "page_token", but not "page_access_token" or "cache_password".
var nearDenials = set("page", "cursor", "cache", "cached", "trace", "span")

// keyQualifiers are the words before "key" that make it a secret.
var keyQualifiers = set(
	"api", "access", "secret", "private", "encryption", "encrypt", "decryption", "signing", "sign", "signature", "account", "auth", "master", "license", "shared", "subscription", "consumer", "session", "deploy", "deployment",
	"integration", "server", "admin", "client", "hmac", "jwt", "cipher", "aes", "root", "crypto", "service", "webhook", "application", "app", "ssh", "ingest", "ingestion", "functions", "function", "preshared", "recovery", "personal", "storage", "sas", "write", "read", "rest", "security", "user", "cookie", "developer", "dev", "agent", "bot", "project", "team", "org", "organization", "merchant", "sdk",
)

// keyDenials are the words before "key" that make it an ordinary one.
var keyDenials = set(
	"foreign", "verifier", "blob", "socket", "partition", "sort", "dedupe", "dedup", "row", "group", "shard", "map", "hash", "index", "unique", "object", "bucket", "s3", "i18n", "translation", "message", "lookup", "registry", "config", "dict", "json", "event", "routing", "order", "item", "query", "state", "the", "a", "this", "any", "each", "prompt", "range", "lock", "feature", "column", "composite", "natural", "surrogate", "candidate", "host", "site", "store", "file", "path", "field", "entity", "id", "restore", "run", "build", "issue", "localstorage", "react", "list", "node", "sourcemap", "data", "answer", "license",
)

// kind says what the name promises.
func (n *name) kind() nameKind {
	for n.n > 1 && (suffixes[n.word(0)] || digit.all(n.words[n.n-1])) {
		n.n--
	}
	for i := range n.n {
		if denials[string(n.words[i])] {
			return namesNothing
		}
	}
	last, before := trimDigits(n.word(0)), n.word(1)
	if nearDenials[last] || nearDenials[before] && (last == "token" || last == "key" || last == "id") {
		return namesNothing
	}
	switch last {
	case "password", "passwd", "pwd", "passphrase", "pass", "passcode", "psk", "pw", "pword", "requirepass", "masterauth", "bindpw", "pswd", "passwort", "parol", "contrasena", "senha",
		"dbpass", "userpass", "rootpass", "adminpass", "smtppass", "mysqlpass", "pgpass", "ftppass", "mailpass", "emailpass", "mypass", "redispass", "sshpass", "loginpass", "authpass", "apppass", "proxypass", "httppass", "wifipass", "keypass", "storepass":
		return namesPassword
	case "secret", "secrets", "credential", "credentials", "creds", "cred":
		return namesSecret
	case "id":
		if before == "secret" {
			return namesSecret
		}
	case "token", "tok", "jwt", "bearer", "apikey", "pat", "sas":
		switch before {
		case "api", "auth", "access", "refresh", "secret", "bot", "bearer", "personal", "service", "admin", "deploy", "identity", "id", "oauth", "private", "server", "root", "client", "user", "app":
			return namesSecret
		}
		if last == "apikey" {
			return namesSecret
		}
		return namesToken
	case "salt":
		return namesKey
	case "auth", "_auth":
		return namesAuth
	case "key", "keys":
		switch {
		case keyQualifiers[before]:
			return namesSecret
		case keyDenials[before] || n.n < 2:
			return namesNothing
		}
		return namesKey
	case "base": // secret_key_base
		if before == "key" {
			return namesSecret
		}
	case "compass", "bypass", "trespass":
		return namesNothing
	}
	for _, s := range joined {
		if len(last) >= len(s.suffix) && last[len(last)-len(s.suffix):] == s.suffix {
			return s.kind
		}
	}
	return namesNothing
}

// joined are the ends of names whose words are written as one.
var joined = []struct {
	suffix string
	kind   nameKind
}{
	{"password", namesPassword},
	{"passwd", namesPassword},
	{"passphrase", namesPassword},
	{"pwd", namesPassword},
	{"passwort", namesPassword},
	{"clientsecret", namesSecret},
	{"secret", namesSecret},
	{"apikey", namesSecret},
	{"secretkey", namesSecret},
	{"accesskey", namesSecret},
	{"authkey", namesSecret},
	{"privatekey", namesSecret},
	{"accountkey", namesSecret},
	{"accesstoken", namesSecret},
	{"authtoken", namesSecret},
	{"apitoken", namesSecret},
	{"token", namesToken},
}

func trimDigits(s string) string {
	for len(s) > 2 && digit.has(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// issuer is a service whose credentials have no form of their own, and are
// known by its name together with theirs.
type issuer struct {
	word string
	rule *rule
	form []pattern
}

func issuers() []issuer {
	const uuid = "{H8}-{H4}-{H4}-{H4}-{H12}"
	table := []struct {
		word  string
		forms []string
	}{
		{"aws", []string{"{s40}"}},
		{"heroku", []string{uuid}},
		{"datadog", []string{"{h32}", "{h40}"}},
		{"dd", []string{"{h32}", "{h40}"}},
		{"cloudflare", []string{"{b40}", "{h37}", "{h45}"}},
		{"cf", []string{"{b40}", "{h37}"}},
		{"twilio", []string{"{h32}"}},
		{"flagsmith", []string{"ser.{a22}"}},
		{"cursor", []string{"key_{h64}"}},
		{"fal", []string{uuid + ":{h32}"}},
		{"cypress", []string{uuid}},
		{"hcloud", []string{"{a64}"}},
		{"hetzner", []string{"{a64}"}},
		{"vultr", []string{"{u36}"}},
		{"deepgram", []string{"{h40}"}},
		{"assemblyai", []string{"{h32}"}},
		{"zhipuai", []string{"{h32}.{a16}"}},
		{"ghost", []string{"{h24}:{h64}"}},
		{"ably", []string{"{b6}.{b6}:{b43}"}},
		{"bws", []string{"{d1}." + uuid + ".{a30}:{e24}"}},
		{"ngrok", []string{"{a27}_{a20,}"}},
		{"unleash", []string{"{p1,}:{p1,}.{h56,}"}},
		{"fastly", []string{"{b32}"}},
		{"linode", []string{"{h64}"}},
		{"okta", []string{"00{b40}", "{b40}", "{b64}"}},
		{"auth0", []string{"{b64}", "{b43,}"}},
		{"algolia", []string{"{h32}"}},
		{"vercel", []string{"{a24}"}},
		{"netlify", []string{"{b40,46}"}},
		{"cohere", []string{"{a40}"}},
		{"mistral", []string{"{a32}"}},
		{"snyk", []string{uuid}},
		{"postmark", []string{uuid}},
		{"codecov", []string{uuid}},
		{"sentry", []string{"{h64}", "{h32}"}},
		{"newrelic", []string{"{a40}", "{h32}"}},
		{"relic", []string{"{a40}", "{h32}"}},
		{"discord", []string{"{b24,28}.{b6}.{b27,38}", "{b32}"}},
		{"spotify", []string{"{h32}"}},
		{"github", []string{"{h40}"}},
		{"gitlab", []string{"{b20}", "{h64}"}},
		{"gitea", []string{"{h40}"}},
		{"jenkins", []string{"{h34}", "{h32}"}},
		{"sonar", []string{"{h40}"}},
		{"mailgun", []string{"{h32}", "{h32}-{h8}-{h8}"}},
		{"opsgenie", []string{uuid}},
		{"pagerduty", []string{"{b20}", "{h32}"}},
		{"rollbar", []string{"{h32}"}},
		{"splunk", []string{uuid}},
		{"consul", []string{uuid}},
		{"nomad", []string{uuid}},
		{"asana", []string{"{h32}", "{d1}/{d13,17}:{h32}", "{d1}/{d13,17}/{d13,17}:{h32}"}},
		{"airtable", []string{"key{a14}"}},
		{"trello", []string{"{h32}", "{h64}"}},
		{"wandb", []string{"{h40}"}},
		{"deepl", []string{uuid + ":fx", uuid}},
		{"binance", []string{"{a64}"}},
		{"coinbase", []string{"{a16,}"}},
		{"plaid", []string{"{h30}"}},
		{"paypal", []string{"{b60,}"}},
		{"facebook", []string{"{h32}"}},
		{"twitter", []string{"{a25}", "{a35,50}"}},
		{"twitch", []string{"{l30}"}},
		{"dropbox", []string{"{l15}"}},
		{"linkedin", []string{"{a16}"}},
		{"atlassian", []string{"{a24}"}},
		{"jira", []string{"{a24}"}},
		{"confluence", []string{"{a24}"}},
		{"circleci", []string{"{h40}"}},
		{"travis", []string{"{b22}"}},
		{"azure", []string{"{l52}", "{h32}", "{a84}", "{s86}=="}},
		{"vault", []string{"s.{a24}"}},
		{"scaleway", []string{uuid}},
		{"scw", []string{uuid}},
		{"launchdarkly", []string{uuid}},
		{"segment", []string{"{a32}"}},
		{"mixpanel", []string{"{h32}"}},
		{"amplitude", []string{"{h32}"}},
		{"zendesk", []string{"{a40}"}},
		{"railway", []string{uuid}},
		{"alibaba", []string{"{a30}"}},
		{"aliyun", []string{"{a30}"}},
		{"tencent", []string{"{a32}"}},
	}
	all := make([]issuer, 0, len(table))
	for _, row := range table {
		is := issuer{word: row.word, rule: &rule{id: row.word + "-secret", class: Distinctive, rank: rankPlace}}
		switch row.word {
		case "aws":
			is.rule.id = secretKeyRule.id
		case "dd":
			is.rule.id = "datadog-secret"
		case "cf":
			is.rule.id = "cloudflare-secret"
		case "bws":
			is.rule.id = "bitwarden-secret"
		case "hcloud":
			is.rule.id = "hetzner-secret"
		case "relic":
			is.rule.id = "newrelic-secret"
		case "scw":
			is.rule.id = "scaleway-secret"
		}
		for _, f := range row.forms {
			is.form = append(is.form, compile(f))
		}
		all = append(all, is)
	}
	return all
}

// issued reports whether value is the form that the issuer named in n gives its
// credentials, and by which rule.
func issued(all []issuer, n *name, value []byte) *rule {
	for i := range all {
		for w := range n.n {
			if !bytes.Equal(n.words[w], []byte(all[i].word)) {
				continue
			}
			for _, p := range all[i].form {
				if _, _, end, ok := p.match(value, 0); ok && end == len(value) && random(value) {
					return all[i].rule
				}
			}
		}
	}
	return nil
}
