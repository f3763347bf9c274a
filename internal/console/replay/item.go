package replay

import (
	"encoding/base64"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"codex-proxy/internal/conversation"
	"codex-proxy/internal/exchange"
)

// Item is one thing that was said, as the page shows it.
type Item struct {
	// Anchor is the item's name in the page's address, such as "turn-3-2".
	Anchor string
	// Kind is the entry's kind, which is also its class on the page.
	Kind  string
	Title string
	// Folded says that only a line of it is seen until someone opens it, and
	// Summary is that line.
	Folded  bool
	Summary string
	// Shown is the text's beginning, Rest what is folded away, of RestLines lines.
	Shown, Rest []Run
	RestLines   int
	// Left is how many bytes of the text are not on the page, and All where all of
	// it is.
	Left int
	All  string
	// Text is what is on the page of it, as it was said; Size is the whole text's, in
	// bytes.
	Text string
	Size int
	// Cut says that the answer broke off within it.
	Cut     bool
	Secrets []Secret
	Images  []Picture
}

// Secret is a finding, as the page names it.
type Secret struct {
	Rule, Fingerprint, Path, Became string
	// Left says that it went out as it was; New that no earlier turn had sent it.
	Left, New bool
}

// Picture is an image of an item. Without a Source it is named and not shown.
type Picture struct {
	Source template.URL
	Media  string
	Size   int
	Why    string // why it is not shown
}

// limits bound what a page holds of one item, and of all pictures.
type limits struct {
	text     int // bytes of an item's text
	lines    int // lines of an output that are seen before it is unfolded
	long     int // lines of a text that are seen before it is unfolded
	picture  int // bytes of an encoded picture
	pictures int // bytes of all encoded pictures of a page
}

// pageLimits are those of a session's page; wholeLimits those of one item's own.
var (
	pageLimits  = limits{text: 16 << 10, lines: 12, long: 80, picture: 1 << 20, pictures: 8 << 20}
	wholeLimits = limits{text: 1 << 20, lines: 1 << 30, long: 1 << 30, picture: 8 << 20, pictures: 16 << 20}
)

// composer makes the items of one record.
type composer struct {
	limits
	secrets  secretsByPlaceholder
	findings []exchange.Finding
	exchange *exchange.Exchange
	// pictures is how many bytes of pictures the page has yet room for.
	pictures *int
	// all is where an item's whole text is.
	all func(side string, n int) string
}

// item makes the page's item of an entry, the nth of its side.
func (c *composer) item(anchor, side string, n int, entry conversation.Entry) Item {
	item := Item{
		Anchor: anchor, Kind: string(entry.Kind), Title: title(entry), Size: len(entry.Text),
		Cut:    entry.Cut && entry.Kind != conversation.Note,
		Folded: folded(entry), Secrets: c.secretsAt(side, entry.Place),
	}
	text := entry.Text
	if entry.Kind == conversation.Call && len(text) <= c.text {
		text = readableScript(text)
	}
	text, left := cutText(text, c.text)
	if left > 0 {
		item.Left, item.All = left, c.all(side, n)
	}
	item.Text = text
	if item.Folded {
		item.Summary = line(strings.ReplaceAll(text, "**", ""), 120) // headings of reasoning are bold
	}
	lines := c.long
	if entry.Kind == conversation.Output {
		lines = c.lines
	}
	shown, rest := cutLines(text, lines)
	const few = 4 // lines that are not worth a fold
	if strings.Count(rest, "\n") < few && len(rest) < 400 || item.Folded {
		shown, rest = text, ""
	}
	// The runs are cut over the whole, as a diff may stand on both sides.
	item.Shown = c.secrets.lay(text, entry.Kind == conversation.Call)
	if rest != "" {
		item.Shown, item.Rest = splitRuns(item.Shown, strings.Count(shown, "\n"))
		item.RestLines = strings.Count(strings.TrimSuffix(rest, "\n"), "\n") + 1
	}
	for _, image := range entry.Images {
		item.Images = append(item.Images, c.picture(image))
	}
	return item
}

// splitRuns cuts runs after so many lines.
func splitRuns(runs []Run, lines int) (first, rest []Run) {
	for i, run := range runs {
		for j, span := range run.Spans {
			n := strings.Count(span.Text, "\n")
			if n < lines {
				lines -= n
				continue
			}
			head, tail := cutLines(span.Text, lines)
			one := Run{run.Class, slices.Clone(run.Spans[:j])}
			if head != "" {
				one.Spans = append(one.Spans, Span{head, span.Class, span.Title})
			}
			two := Run{Class: run.Class}
			if tail != "" {
				two.Spans = append(two.Spans, Span{tail, span.Class, span.Title})
			}
			two.Spans = append(two.Spans, run.Spans[j+1:]...)
			return append(slices.Clone(runs[:i]), one), append([]Run{two}, runs[i+1:]...)
		}
	}
	return runs, nil
}

// contexts begin the messages that Codex sends in the developer's name.
var contexts = []string{"<environment_context>", "<user_instructions>", "# AGENTS.md instructions", "<permissions instructions>", "<skills_instructions>", "<turn_aborted>"}

func isContext(entry conversation.Entry) bool {
	return entry.Kind == conversation.User && slices.ContainsFunc(contexts, func(begin string) bool {
		return strings.HasPrefix(strings.TrimSpace(entry.Text), begin)
	})
}

// folded says of which items a line is enough at first.
func folded(entry conversation.Entry) bool {
	switch entry.Kind {
	case conversation.Instructions, conversation.Reasoning:
		return true
	case conversation.Note:
		return !entry.Cut && (len(entry.Text) > 200 || strings.HasPrefix(entry.Text, "[tools"))
	}
	return isContext(entry)
}

// title names an item.
func title(entry conversation.Entry) string {
	name := line(entry.Name, 80)
	switch entry.Kind {
	case conversation.Instructions:
		if name != "" {
			return "Instructions (" + name + ")"
		}
		return "Instructions"
	case conversation.User:
		if isContext(entry) {
			return "Context from Codex"
		}
		return "Prompt"
	case conversation.Assistant:
		return "Answer"
	case conversation.Reasoning:
		return "Reasoning"
	case conversation.Call:
		if name == "" {
			return "Tool call"
		}
		return name
	case conversation.Output:
		if name == "" {
			return "Output"
		}
		return "Output of " + name
	case conversation.Failure:
		if name == "" {
			return "Error"
		}
		return "Error " + name
	}
	switch {
	case strings.HasPrefix(entry.Text, "[compaction"):
		return "Earlier conversation, compacted"
	case strings.HasPrefix(entry.Text, "[tools"), strings.HasPrefix(entry.Text, "[additional_tools"):
		return "Tools on offer"
	case name == "":
		return "Note"
	}
	return name
}

// secretsAt are the findings in the item at a place of the request.
func (c *composer) secretsAt(side, place string) []Secret {
	if side != sideRequest || place == "" {
		return nil
	}
	var all []Secret
	for _, f := range c.findings {
		rest, ok := strings.CutPrefix(f.Path, place)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			all = append(all, newSecret(c.exchange, f))
		}
	}
	return all
}

func newSecret(e *exchange.Exchange, f exchange.Finding) Secret {
	mode := e.Became(f)
	return Secret{Rule: f.Rule, Fingerprint: f.Fingerprint, Path: f.Path, Became: became(mode), Left: mode == exchange.Reported, New: f.New}
}

// shownMedia are the pictures that are shown. Those of vectors are none: they are
// documents, and may hold more than a picture.
var shownMedia = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

// picture makes a data URL of an image, if it is one, of a kind and size that
// are shown.
func (c *composer) picture(image conversation.Image) Picture {
	p := Picture{Media: line(image.Media, 40), Size: base64.StdEncoding.DecodedLen(len(image.Base64))}
	if len(image.Base64) > c.limits.picture {
		p.Why = "larger than a page shows"
		return p
	}
	data, err := base64.StdEncoding.DecodeString(image.Base64)
	if err != nil {
		p.Why = "its base64 is damaged"
		return p
	}
	p.Size = len(data)
	media := http.DetectContentType(data) // what it is, whatever it is said to be
	if !slices.Contains(shownMedia, media) {
		p.Why = "not a PNG, JPEG, GIF or WebP"
		return p
	}
	p.Media = media
	if *c.pictures -= len(image.Base64); *c.pictures < 0 {
		p.Why = "the page holds enough pictures"
		return p
	}
	// Decoded and encoded anew, it is base64 and nothing else.
	p.Source = template.URL("data:" + media + ";base64," + base64.StdEncoding.EncodeToString(data))
	return p
}

// itemAnchor is the name of an item in the page's address.
func itemAnchor(turn, n int) string { return "turn-" + strconv.Itoa(turn) + "-" + strconv.Itoa(n) }
