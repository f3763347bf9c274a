package developer_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"codex-proxy/internal/developer"
)

func newToken(t *testing.T) developer.Token {
	t.Helper()
	token, err := developer.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestATokenHasAPublicIDASecretAndACheckSum(t *testing.T) {
	shape := regexp.MustCompile(`^codexproxy_([0-9A-Za-z]{8})_[0-9A-Za-z]{27}[0-9A-Za-z]{6}$`)
	seen := map[string]bool{}
	for range 200 {
		text := newToken(t).Reveal()
		parts := shape.FindStringSubmatch(text)
		if parts == nil {
			t.Fatal("a new token has another shape")
		}
		if id, err := developer.ParseToken(text); err != nil || id != parts[1] {
			t.Fatalf("ParseToken: %q, %v; want %q", id, err, parts[1])
		}
		if seen[text] {
			t.Fatal("a token was made twice")
		}
		seen[text] = true
	}
}

// The checksum is part of the format that secret scanners know: CRC-32 (IEEE)
// of all before it, in base62 with the digits first, six characters wide. The
// value was computed independently with zlib.
func TestTheCheckSumIsTheOneThatScannersCompute(t *testing.T) {
	const body = "codexproxy_00000000_000000000000000000000000000"
	const known = body + "0KzsVp"
	if _, err := developer.ParseToken(known); err != nil {
		t.Error(err)
	}
}

func TestATypoIsCaughtWithoutALookUp(t *testing.T) {
	text := newToken(t).Reveal()
	for i := len(developer.Prefix); i < len(text); i++ {
		typo := []byte(text)
		if typo[i] = 'x'; text[i] == 'x' {
			typo[i] = 'y'
		}
		if text[i] != '_' && developer.CheckToken(string(typo)) == nil {
			t.Errorf("a wrong character at %d was not caught", i)
		}
		if _, err := developer.ParseToken(text[:i]); err == nil {
			t.Errorf("a token cut short at %d has an id", i)
		}
	}
	swapped := []byte(text)
	for i := 21; i+1 < len(text); i++ {
		if text[i] != text[i+1] {
			swapped[i], swapped[i+1] = text[i+1], text[i]
			break
		}
	}
	for _, typo := range []string{string(swapped), text + "x", " " + text, text + "\n", strings.ToUpper(text), developer.Prefix} {
		if _, err := developer.ParseToken(typo); err == nil {
			t.Errorf("a typo was not caught in a token of %d characters", len(typo))
		}
	}
}

// Older installations made tokens with our own prefix and a form of theirs.
func TestATokenOfAnotherFormIsATokenWhateverItBeginsWith(t *testing.T) {
	ours := newToken(t).Reveal()
	for name, text := range map[string]string{
		"a secret alone":            "codexproxy_Zm9vYmFyYmF6cXV4",
		"a UUID":                    "codexproxy_0190f2a4-7c1e-7b1a-9f3e-2d6c8a4b1e5f",
		"an id and a longer secret": "codexproxy_abcdefgh_" + strings.Repeat("x", 43),
		"our length, another place": "codexproxy_" + strings.Repeat("x", len(ours)-len("codexproxy_")),
		"our length, other letters": ours[:len(ours)-1] + "-",
		"ours with a letter more":   ours + "x",
		"ours cut short":            ours[:len(ours)-1],
		"nothing but punctuation":   "codexproxy_!~!~!",
		"as long as can be":         "codexproxy_" + strings.Repeat("x", 4096-len("codexproxy_")),
	} {
		t.Run(name, func(t *testing.T) {
			if err := developer.CheckToken(text); err != nil {
				t.Errorf("CheckToken: %v", err)
			}
			now := time.Now()
			kept, err := developer.Import(rand.Reader, developer.Token(text), "alice", "", now, time.Time{})
			if err != nil || len(kept.ID) != 8 || strings.Contains(text, kept.ID) || kept.Hash != developer.Token(text).Hash() {
				t.Errorf("Import: %+v, %v", kept.TokenInfo, err)
			}
		})
	}
}

func TestATokenOfOurVeryFormNeedsItsChecksum(t *testing.T) {
	text := newToken(t).Reveal()
	wrong := text[:len(text)-1] + "0"
	if wrong == text {
		wrong = text[:len(text)-1] + "1"
	}
	err := developer.CheckImported(developer.Token(wrong))
	if err == nil || !strings.Contains(err.Error(), "checksum does not fit") || !strings.Contains(err.Error(), "issue a new one") || strings.Contains(err.Error(), wrong[20:]) {
		t.Errorf("error: %v, want words about the checksum, and without the token", err)
	}
}

func TestAnErrorAboutATokenDoesNotQuoteIt(t *testing.T) {
	text := newToken(t).Reveal()
	secret := text[20:40]
	for _, wrong := range []string{text[:47] + "zzzzzz", secret + " " + secret, secret + "\x00", strings.Repeat(secret, 500)} {
		if err := developer.CheckToken(wrong); err == nil || strings.Contains(err.Error(), secret) {
			t.Error("the token was accepted, or is in the error")
		}
	}
}

func TestAnImportedTokenMayBeAnyPrintableText(t *testing.T) {
	for text, want := range map[string]bool{
		"12345678": true, "sk-proj-abcdefgh": true, strings.Repeat("x", 4096): true, "!\"#$%&'()": true,
		"1234567": false, "": false, strings.Repeat("x", 4097): false, "1234 5678": false,
		"1234\t5678": false, "1234\x7f5678": false, "12345678é": false, "codexproxy_something": true,
	} {
		if got := developer.CheckToken(text) == nil; got != want {
			t.Errorf("CheckToken(%.20q) accepted: %v, want %v", text, got, want)
		}
	}
}

func TestATokenMasksItselfWhereverItIsWritten(t *testing.T) {
	for _, token := range []developer.Token{newToken(t), "an-imported-token-with-a-secret"} {
		secret := token.Reveal()[12:]
		if id, err := developer.ParseToken(token.Reveal()); err == nil {
			secret = strings.TrimPrefix(token.Reveal(), developer.Prefix+id)
		}
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s"} {
			fmt.Fprintf(&out, verb+verb, token, struct{ T developer.Token }{token})
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "token", token)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "token", token, "in", map[string]any{"t": token})
		if err := json.NewEncoder(&out).Encode(map[string]any{"token": token, "in": []developer.Token{token}}); err != nil {
			t.Fatal(err)
		}
		hex := fmt.Sprintf("%x", secret)
		if strings.Contains(out.String(), secret) || strings.Contains(strings.ToLower(out.String()), hex) {
			t.Error("the secret was written somewhere")
		}
	}
}

func TestNoTokenIsMadeWithoutRandomness(t *testing.T) {
	broken := errors.New("no entropy")
	if token, err := developer.NewToken(iotest.ErrReader(broken)); !errors.Is(err, broken) || token != "" {
		t.Errorf("NewToken: %v, want %v", err, broken)
	}
}

func TestATokenIsKeptAsItsHashAlone(t *testing.T) {
	now := time.Now()
	token, credential, err := developer.Issue(rand.Reader, "alice", "laptop", now, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if credential.Hash != token.Hash() {
		t.Error("the hash is another token's")
	}
	if kept := fmt.Sprintf("%+v", credential); strings.Contains(kept, token.Reveal()[20:]) {
		t.Error("the secret is part of what is kept")
	}
	imported, err := developer.Import(rand.Reader, "any-older-token-of-theirs", "alice", "", now, time.Time{})
	if err != nil || len(imported.ID) != 8 || !imported.Imported || imported.Hash != developer.Token("any-older-token-of-theirs").Hash() {
		t.Errorf("Import: %+v, %v", imported.TokenInfo, err)
	}
	if _, err := developer.Import(rand.Reader, "fifteen-letters", "alice", "", now, time.Time{}); err == nil || strings.Contains(err.Error(), "fifteen") {
		t.Errorf("a token that could be guessed was imported, or quoted: %v", err)
	}
	again, err := developer.Import(rand.Reader, token, "alice", "", now, time.Time{})
	if err != nil || again.ID != credential.ID {
		t.Errorf("a token of this kind was imported as %q, %v; want its own id %q", again.ID, err, credential.ID)
	}
}

func FuzzCheckToken(f *testing.F) {
	token, err := developer.NewToken(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{token.Reveal(), "", "codexproxy_", "codexproxy_12345678_", "sk-12345678", "\xff\xfe12345678"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if developer.CheckToken(text) != nil {
			return
		}
		if strings.ContainsAny(text, " \r\n\t\x00") || len(text) < 8 || len(text) > 4096 {
			t.Errorf("accepted %q", text)
		}
		if id, err := developer.ParseToken(text); err == nil && !strings.HasPrefix(text, developer.Prefix+id+"_") {
			t.Errorf("the id of %q is not %q", text, id)
		}
	})
}

func TestARotatedTokenKeepsItsEndAndItsLabel(t *testing.T) {
	ends := now.Add(12 * time.Hour)
	for name, c := range map[string]struct {
		old    developer.TokenInfo
		change developer.Rotation
		label  string
		ends   time.Time
		says   string
	}{
		"as it is":                     {developer.TokenInfo{Label: "laptop", Expires: ends}, developer.Rotation{}, "laptop", ends, ""},
		"without an end":               {developer.TokenInfo{Label: "laptop"}, developer.Rotation{}, "laptop", time.Time{}, ""},
		"to end later":                 {developer.TokenInfo{Label: "laptop", Expires: ends}, developer.Rotation{ChangesEnd: true, Expires: ends.Add(1)}, "laptop", ends.Add(1), ""},
		"never to end":                 {developer.TokenInfo{Label: "laptop", Expires: ends}, developer.Rotation{ChangesEnd: true}, "laptop", time.Time{}, ""},
		"under another label":          {developer.TokenInfo{Label: "laptop", Expires: ends}, developer.Rotation{Label: "desk"}, "desk", ends, ""},
		"a sign-in":                    {developer.TokenInfo{Label: "sign-in", Expires: ends}, developer.Rotation{}, "sign-in", ends, ""},
		"a sign-in, to end sooner":     {developer.TokenInfo{Label: "sign-in", Expires: ends}, developer.Rotation{ChangesEnd: true, Expires: ends.Add(-1)}, "sign-in", ends.Add(-1), ""},
		"a sign-in, to end later":      {developer.TokenInfo{Label: "sign-in", Expires: ends}, developer.Rotation{ChangesEnd: true, Expires: ends.Add(1)}, "", time.Time{}, "comes of a sign-in"},
		"a sign-in, never to end":      {developer.TokenInfo{Label: "sign-in", Expires: ends}, developer.Rotation{ChangesEnd: true}, "", time.Time{}, "comes of a sign-in"},
		"a sign-in, by another name":   {developer.TokenInfo{Label: "sign-in", Expires: ends}, developer.Rotation{Label: "laptop"}, "", time.Time{}, "comes of a sign-in"},
		"one that has ended":           {developer.TokenInfo{Expires: now}, developer.Rotation{}, "", time.Time{}, "not active"},
		"one that was rotated already": {developer.TokenInfo{ReplacedBy: "another"}, developer.Rotation{}, "", time.Time{}, "not active"},
	} {
		t.Run(name, func(t *testing.T) {
			c.old.ID, c.old.Developer = "abcdefgh", "alice"
			_, fresh, err := developer.Rotate(rand.Reader, c.old, c.change, now)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("error: %v, want one with %q", err, c.says)
				}
				return
			}
			if err != nil || fresh.Label != c.label || !fresh.Expires.Equal(c.ends) || fresh.Developer != "alice" || fresh.ID == c.old.ID {
				t.Errorf("%+v, %v", fresh.TokenInfo, err)
			}
		})
	}
}
