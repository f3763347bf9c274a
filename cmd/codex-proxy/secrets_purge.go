package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/contentcoding"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
	"codex-proxy/internal/secrets"
)

// cleaner takes secrets out of records. What stood in one record of a session
// is known in the others, whatever stands around it there.
type cleaner struct {
	rules    rulebook
	cache    *secrets.Cache
	sessions map[sessionOf]*secrets.Vault // those that have secrets
}

type sessionOf struct{ developer, session string }

func newCleaner(rules rulebook) *cleaner {
	const items = 50_000 // whose hashes are kept
	return &cleaner{rules: rules, cache: secrets.NewCache(items), sessions: map[sessionOf]*secrets.Vault{}}
}

// cleaned is what was found in one record.
type cleaned struct {
	places  []standing
	texts   []text
	decoded []record.Side // whose bodies are decoded now
	opaque  int           // bodies in a content coding that cannot be undone
}

// standing is a place where a secret stood, and its placeholder stands.
type standing struct {
	exchange.Finding
	side record.Side
}

// clean puts placeholders in the place of the secrets in a record, and returns
// what they stand for. All other bytes stay.
func (c *cleaner) clean(doc *record.Document) *cleaned {
	of := sessionOf{doc.Exchange.Developer, doc.Exchange.Session}
	vault := c.sessions[of]
	if vault == nil {
		vault = secrets.NewVault(c.rules.scanner, c.cache, c.rules.redactAll)
	}
	found := textsOf(doc, vault)
	// What one text tells may stand in another, so they are read until nothing is
	// found. A placeholder is no secret, so that is soon; only a text that is made
	// to look like placeholders could go on.
	const most = 20
	for again, pass := true, 0; again && pass < most; pass++ {
		again = false
		for i := range found.texts {
			again = found.texts[i].clean() || again
		}
	}
	if vault.Len() > 0 && of.session != "" {
		c.sessions[of] = vault
	}
	known := map[string]bool{}
	for _, t := range found.texts {
		for _, p := range t.places() {
			if !t.echo || !known[p.Fingerprint] {
				found.places = append(found.places, p)
			}
			known[p.Fingerprint] = true
		}
	}
	return found
}

// note writes into the record what was found in it: findings, as of secrets that
// left, and what was purged when.
func (f *cleaned) note(doc *record.Document, at time.Time) {
	e := &doc.Exchange
	known := map[exchange.Finding]bool{}
	place := func(f exchange.Finding) exchange.Finding {
		return exchange.Finding{Fingerprint: f.Fingerprint, Path: f.Path, Offset: f.Offset}
	}
	for i := range e.Findings {
		e.Findings[i].Offset = f.moved(e.Findings[i])
		known[place(e.Findings[i])] = true
	}
	purge := record.Purge{At: at, Decoded: f.decoded}
	listed := map[string]int{}
	for _, p := range f.places {
		if !known[place(p.Finding)] {
			e.Findings = append(e.Findings, p.Finding)
		}
		i, ok := listed[p.Fingerprint]
		if !ok {
			i = len(purge.Secrets)
			listed[p.Fingerprint] = i
			purge.Secrets = append(purge.Secrets, record.PurgedSecret{Rule: p.Rule, Fingerprint: p.Fingerprint})
		}
		purge.Secrets[i].Places++
	}
	doc.Purged = append(doc.Purged, purge)
	if len(e.Findings) > exchange.MostFindings {
		slices.SortStableFunc(e.Findings, func(a, b exchange.Finding) int { return strings.Compare(sent(a.New), sent(b.New)) })
		e.Findings = e.Findings[:exchange.MostFindings]
	}
}

// echoed reports whether a secret stood in a text that the ledger has too.
func (f *cleaned) echoed() bool {
	return slices.ContainsFunc(f.texts, func(t text) bool { return t.echo && len(t.passes) > 0 })
}

// moved returns the offset of a finding that the record had before.
func (f *cleaned) moved(earlier exchange.Finding) int64 {
	// Of a header with several values the first is taken: it is hardly ever more.
	for _, t := range f.texts {
		if t.holds(earlier.Path) {
			return int64(t.moved(int(earlier.Offset), 0))
		}
	}
	return earlier.Offset
}

// text is one text of a record.
type text struct {
	side record.Side
	// path names it, as in exchange.Finding; empty for a body.
	path string
	// echo says that it repeats what stands in another text.
	echo    bool
	content []byte
	put     func([]byte)
	redact  func([]byte) secrets.Redaction
	// passes are what became of it, one after the other.
	passes []secrets.Redaction
}

// clean redacts the text and reports whether there was anything to redact.
func (t *text) clean() bool {
	pass := t.redact(t.content)
	if len(pass.Findings) == 0 {
		return false
	}
	t.content = pass.Body
	t.put(t.content)
	t.passes = append(t.passes, pass)
	return true
}

// moved returns where a byte stands now that stood at an offset before a pass.
func (t *text) moved(offset, pass int) int {
	for _, p := range t.passes[pass:] {
		offset = p.Moved(offset)
	}
	return offset
}

// holds reports whether a finding with the given path is in the text.
func (t *text) holds(path string) bool {
	if t.path != "" || t.side == record.SideResponse {
		return t.path == path
	}
	other := strings.HasPrefix(path, "header ") || strings.HasPrefix(path, "trailer ") || strings.HasPrefix(path, "answer") || path == "uri"
	return !other
}

// places returns where the secrets of the text stood.
func (t *text) places() (all []standing) {
	for i, pass := range t.passes {
		for _, f := range pass.Findings {
			path := t.path
			if path == "" {
				path = f.Path
			}
			if path == "" {
				path = "body"
			}
			if t.side == record.SideResponse {
				path = "answer " + path
			}
			all = append(all, standing{side: t.side, Finding: exchange.Finding{
				Rule: f.Rule, Fingerprint: f.Fingerprint, Mode: exchange.Reported, Path: path, Offset: int64(t.moved(f.At, i+1)), New: f.New,
			}})
		}
	}
	return all
}

// textsOf returns the texts of a record, and how it decoded them.
func textsOf(doc *record.Document, vault *secrets.Vault) *cleaned {
	found := &cleaned{}
	line := func(side record.Side, path string, echo bool, value *string) {
		found.texts = append(found.texts, text{
			side: side, path: path, echo: echo, content: []byte(*value), redact: vault.RedactText,
			put: func(now []byte) { *value = string(now) },
		})
	}
	lines := func(side record.Side, kind string, header http.Header) {
		for _, name := range slices.Sorted(maps.Keys(header)) {
			for i := range header[name] {
				line(side, kind+name, false, &header[name][i])
			}
		}
	}
	message := func(side record.Side, m *record.Message, redact func([]byte) secrets.Redaction) {
		body, coding, opaque := decoded(m)
		if opaque {
			found.opaque++
		}
		found.texts = append(found.texts, text{side: side, content: body, redact: redact, put: func(now []byte) {
			m.SetBytes(now)
			if coding != "" && !slices.Contains(found.decoded, side) {
				m.ContentCoding = coding
				found.decoded = append(found.decoded, side)
			}
		}})
		lines(side, "header ", m.Header)
		lines(side, "trailer ", m.Trailer)
	}
	message(record.SideRequest, &doc.Request, func(body []byte) secrets.Redaction { return redactRequest(vault, body) })
	line(record.SideRequest, "uri", false, &doc.Request.URI)
	if doc.Response != nil {
		message(record.SideResponse, doc.Response, vault.RedactStream)
	}
	e := &doc.Exchange
	line(record.SideRequest, "header User-Agent", true, &e.Client)
	line(record.SideRequest, "uri", true, &e.Path)
	line(record.SideResponse, "error", true, &e.Error)
	return found
}

// redactRequest redacts a request's body as JSON, or as text where it is none, or
// not all of it.
func redactRequest(vault *secrets.Vault, body []byte) secrets.Redaction {
	if json.Valid(body) { // Redact looks at less of it than a judge of what is text must
		if redaction, err := vault.Redact(body); err == nil {
			return redaction
		}
	}
	return vault.RedactText(body)
}

// decoded returns a message's body as it was meant. coding is what was undone
// for that: the gateway undoes codings before it records, as far as it knows
// them. opaque says that there is one that is not known.
func decoded(m *record.Message) (body []byte, coding string, opaque bool) {
	const limit = 1 << 30 // bytes; a body that unfolds to more is read as it is
	body = m.Bytes()
	coding = m.Header.Get("Content-Encoding")
	if coding == "" || len(body) == 0 {
		return body, "", false
	}
	var plain bytes.Buffer
	decoder, known := contentcoding.NewDecoder(coding, limit, func(p []byte) { plain.Write(p) })
	if !known {
		return body, "", true
	}
	_, _ = decoder.Write(body) // what it cannot decode shows in its Close
	if err := decoder.Close(); err != nil || bytes.Equal(plain.Bytes(), body) {
		return body, "", false // it was undone before
	}
	return plain.Bytes(), coding, false
}
