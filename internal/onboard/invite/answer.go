package invite

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/terminal"
)

//go:embed page
var files embed.FS

var pages = template.Must(template.ParseFS(files, "page/*.html"))

// servedFiles are the files that the pages fetch, by their names.
var servedFiles = map[string]string{
	"style.css": "text/css; charset=utf-8",
	"page.js":   "text/javascript; charset=utf-8",
}

// serveFile answers for the pages' files; it returns false for all else.
func serveFile(w http.ResponseWriter, r *http.Request, name string) bool {
	contentType, ok := servedFiles[name]
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	content, err := files.ReadFile("page/" + name)
	if err != nil {
		return false
	}
	send(w, http.StatusOK, contentType, content)
	return true
}

// answer is what is said to one request, in each of the forms that it can be
// asked for in: a page, text for a terminal, and JSON.
type answer struct {
	status int
	// page is the name of a template, and Title, Data what it shows.
	page  string
	Title string
	Data  any
	text  string
	json  any
	// retry is when trying again can help; 0 for never.
	retry time.Duration

	// Host and Base are the proxy's, as the developer reaches it: its name, and the
	// path in front of its own paths.
	Host string
	Base string
}

// setup is how a machine is set up for Codex; none of the lines has the token in
// it, all ask for it.
type setup struct {
	Unix    string `json:"unix"`
	Windows string `json:"windows"`
	Binary  string `json:"binary"`
}

func newSetup(address string) setup {
	return setup{
		Unix:    "curl -fsSL " + address + "/setup.sh | sh",
		Windows: "irm " + address + "/setup.ps1 | iex",
		Binary:  "codex-proxy setup --url " + address,
	}
}

// snippet is a text that the page lets one copy.
type snippet struct {
	// ID is the element's; Heading stands over it, and What names it to those who
	// do not see the page.
	ID, Heading, What, Text string
}

// offered says what an invitation offers.
func offered(o Offer, address, link string) *answer {
	return &answer{
		status: http.StatusOK, page: "offered.html", Title: "Your invitation to Codex",
		Data: struct {
			Offer
			Until string
		}{o, moment(o.Expires)},
		text: fmt.Sprintf(`codex-proxy: this is an invitation for %s, to use Codex through %s.
It is open until %s%s.

This shows your token, once, and uses the invitation up:

  curl -X POST -H 'Accept: text/plain' %s
`, o.Developer, address, moment(o.Expires), terminal.Safe(ask(o.Contact)), link),
		json: struct {
			Developer string    `json:"developer"`
			Team      string    `json:"team"`
			Expires   time.Time `json:"expires"`
			Contact   string    `json:"contact,omitempty"`
		}{o.Developer, o.Holder.Team, o.Expires, o.Contact},
	}
}

// issued shows a token, the one time that it can be shown.
func issued(holder developer.Developer, token developer.Token, address string) *answer {
	lines := newSetup(address)
	return &answer{
		status: http.StatusOK, page: "issued.html", Title: "Your token for Codex",
		Data: struct {
			Holder developer.Developer
			Token  snippet
			Setup  []snippet
		}{holder, snippet{"token", "", "the token", token.Reveal()}, []snippet{
			{"unix", "Linux and macOS", "the line for Linux and macOS", lines.Unix},
			{"windows", "Windows, in PowerShell", "the line for Windows", lines.Windows},
			{"binary", "With the codex-proxy program", "the line for codex-proxy", lines.Binary},
		}},
		text: fmt.Sprintf(`codex-proxy: this is the token of %s. It is shown this once:

  %s

Set Codex up with it, on each machine that you use; the line asks for the token.

  Linux, macOS    %s
  Windows         %s
  or              %s
`, holder.ID, token.Reveal(), lines.Unix, lines.Windows, lines.Binary),
		json: struct {
			Developer string `json:"developer"`
			Token     string `json:"token"`
			Setup     setup  `json:"setup"`
		}{holder.ID, token.Reveal(), lines},
	}
}

// notOpen is the answer to every link that cannot be redeemed.
func notOpen(contact string) *answer {
	whom := "whoever sent you the link"
	if contact != "" {
		whom += ", or " + contact + ","
	}
	return refused(http.StatusGone, "This invitation is not open",
		"It was used, has expired or was cancelled, or the link is not whole. Ask "+whom+" for a new one. If you have not used it yourself, say so: somebody else may have.")
}

func tooMany(wait time.Duration) *answer {
	seconds := int(math.Ceil(wait.Seconds()))
	a := refused(http.StatusTooManyRequests, "Too many links tried",
		fmt.Sprintf("Too many invitations that are not open were tried from your network. Nothing was used up: try again in %d seconds.", seconds))
	a.retry = time.Duration(seconds) * time.Second
	return a
}

func unavailable() *answer {
	a := refused(http.StatusServiceUnavailable, "Not just now",
		"The proxy cannot look up invitations at this moment. Nothing was used up: try again in a minute.")
	a.retry = time.Minute
	return a
}

// refused says no.
func refused(status int, title, message string) *answer {
	type failure struct {
		Message string `json:"message"`
	}
	return &answer{
		status: status, page: "refused.html", Title: title, Data: message,
		text: "codex-proxy: " + title + ". " + terminal.Safe(message) + "\n",
		json: struct {
			Error failure `json:"error"`
		}{failure{message}},
	}
}

// write sends the answer in the form that was asked for.
func (a *answer) write(w http.ResponseWriter, r *http.Request, address string) {
	if a.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(a.retry.Seconds())))
	}
	w.Header().Set("Vary", "Accept")
	var content bytes.Buffer
	switch contentType := accepted(r.Header.Get("Accept")); contentType {
	case "application/json":
		encoder := json.NewEncoder(&content)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(a.json) // strings and times, which it can
		send(w, a.status, contentType, content.Bytes())
	case "text/plain":
		send(w, a.status, "text/plain; charset=utf-8", []byte(a.text))
	default:
		if u, err := url.Parse(address); err == nil {
			a.Host, a.Base = u.Host, u.Path
		}
		if err := pages.ExecuteTemplate(&content, a.page, a); err != nil {
			http.Error(w, "codex-proxy: the page cannot be made: "+err.Error(), http.StatusInternalServerError)
			return
		}
		send(w, a.status, "text/html; charset=utf-8", content.Bytes())
	}
}

func send(w http.ResponseWriter, status int, contentType string, content []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(status)
	_, _ = w.Write(content) // the asker may be gone
}

// accepted is the form that an Accept header asks for: the first one named that
// there is, and a page where none is.
func accepted(header string) string {
	for part := range strings.SplitSeq(header, ",") {
		switch name, _, _ := mime.ParseMediaType(part); name {
		case "text/html", "application/json", "text/plain":
			return name
		}
	}
	return "text/html"
}

// ask says whom to ask, where somebody was named.
func ask(contact string) string {
	if contact == "" {
		return ""
	}
	return "; for questions ask " + contact
}

func moment(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }
