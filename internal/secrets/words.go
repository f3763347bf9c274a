package secrets

import "bytes"

// followers has, for each letter, the letters that commonly follow it in
// English words and in identifiers made of them. Random text has about two
// pairs in five in it; words have nearly all.
var followers = [26]string{
	"bcdfgiklmnprstuvxy", "aeilorsuy", "acehiklorstuy", "adegilorsuvy", "acdefgilmnpqrstvwxy", "aefilortu",
	"aeghilnorsu", "aeiortuy", "abcdefgklmnoprstvz", "aeou", "aeinsy", "adefiklmopstuvy", "abeimnopsuy",
	"acdefgiknostuvy", "abcdfgiklmnoprstuvw", "aehiloprstuy", "u", "acdegiklmnorstuvy", "acehiklmopqstuwy",
	"acehilmorstuwy", "abcdegilmnprst", "aeio", "aehinors", "aceipt", "aelmnopst", "aeioz",
}

var pairs = func() (t [26]uint32) {
	for i, next := range followers {
		for _, c := range next {
			t[i] |= 1 << (c - 'a')
		}
	}
	return t
}()

// wordlike reports whether letters could be a word, or several run together.
func wordlike(letters []byte) bool {
	common := 0
	for i := range len(letters) - 1 {
		a, b := fold(letters[i])-'a', fold(letters[i+1])-'a'
		if pairs[a]>>b&1 == 1 {
			common++
		}
	}
	uncommon := len(letters) - 1 - common
	return uncommon*20 <= (len(letters)-1)*3 || uncommon == 1 && len(letters) > 4
}

// wordy reports whether text is mostly words: an identifier, a slug, prose.
func wordy(text []byte) bool {
	words, others := 0, 0
	for i := 0; i < len(text); {
		if !letter.has(text[i]) {
			if classes[text[i]]&(digit|symbol|plusSlash|equals) != 0 {
				others++
			}
			i++
			continue
		}
		end := letter.run(text, i, len(text))
		if end-i >= 3 && !alternating(text[i:end]) && wordlike(text[i:end]) {
			words += end - i
		} else {
			others += end - i
		}
		i = end
	}
	return words >= others*3
}

// alternating reports whether the case changes more often than camel case does.
func alternating(letters []byte) bool {
	changes := 0
	for i := 1; i < len(letters); i++ {
		if lower.has(letters[i-1]) != lower.has(letters[i]) {
			changes++
		}
	}
	return changes > 2 && changes*3 > len(letters)
}

// fillers are the words that documentation and tests put where a secret goes.
// A value in which one occurs is no secret.
var fillers = []string{
	"example", "placeholder", "changeme", "change_me", "change-me", "change_this", "changethis", "replace", "redacted", "xxxx", "your_", "your-", "yourp", "yours", "yourt", "yourk", "youra", "<your",
	"insert", "dummy", "sample", "...", "****", "todo", "fixme", "masked", "hidden", "removed", "not-a-real", "notareal", "not_a_real",
	"abcdefgh", "12345678", "87654321", "0123456789", "deadbeef", "qwerty", "foobar", "lorem", "undefined", "•••", "my-secret", "my_secret", "mysecret", "my-token", "my_token",
}

// filler reports whether text has a documentation word in it, or one byte too
// often in a row.
func filler(text []byte) bool {
	var buf [128]byte
	folded := buf[:0]
	for _, c := range text[:min(len(text), cap(buf))] {
		folded = append(folded, fold(c))
	}
	for _, w := range fillers {
		if bytes.Contains(folded, []byte(w)) {
			return true
		}
	}
	return repeats(text, 6)
}

// repeats reports whether one byte stands n times in a row.
func repeats(text []byte, n int) bool {
	same := 1
	for i := 1; i < len(text); i++ {
		if text[i] != text[i-1] {
			same = 1
		} else if same++; same >= n {
			return true
		}
	}
	return false
}

// random reports whether a token's body could have been drawn by a machine.
func random(body []byte) bool {
	if len(body) > 256 {
		body = body[:256]
	}
	least := 3.0
	switch n := len(body); {
	case n < 14:
		least = 2.0
	case n < 24:
		least = 2.5
	}
	return entropy(body) >= least && !filler(body) && !wordy(body)
}

// weak are values that guard nothing: defaults and words for "a password".
var weak = set(
	"password", "passwd", "passw0rd", "p@ssw0rd", "pass", "pwd", "pw", "secret", "secrets", "token", "key", "apikey", "api_key", "auth", "admin", "administrator", "root", "user", "username", "guest",
	"test", "tests", "testing", "test123", "test1234", "demo", "default", "postgres", "postgresql", "mysql", "mongo", "mongodb", "redis", "rabbitmq", "elastic", "sa", "oracle",
	"none", "null", "nil", "true", "false", "yes", "no", "on", "off", "string", "str", "bytes", "int", "bool", "any", "object", "required", "optional", "empty", "unset", "secret123",
	"letmein", "opensesame", "welcome", "foo", "bar", "baz", "hello", "world", "1234", "12345", "123456", "123456789", "password1", "password123", "admin123", "pass123", "minioadmin", "local", "localhost", "development", "dev", "prod", "hunter", "basic", "bearer", "disabled", "enabled", "mypassword", "mypass", "somepassword", "randompassword", "xxx", "xxxxx", "myuser", "app", "db", "database", "value", "encrypted", "hash",
)

func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}

func isWeak(text []byte) bool {
	var buf [24]byte
	if len(text) > len(buf) {
		return false
	}
	folded := buf[:0]
	for _, c := range text {
		folded = append(folded, fold(c))
	}
	return weak[string(folded)]
}
