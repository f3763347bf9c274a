package redaction

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"codex-proxy/internal/secrets"
)

// Settings are what an organisation says of secrets: the [secrets] table of the
// settings file. The zero value says nothing, and the defaults hold.
type Settings struct {
	// Mode is for all rules, whatever their class.
	Mode mode `toml:"mode" json:"mode,omitempty"`
	// Distinctive and Suspicious are for the rules of a class; redact and report
	// unless they say otherwise.
	Distinctive mode `toml:"distinctive" json:"distinctive,omitempty"`
	Suspicious  mode `toml:"suspicious" json:"suspicious,omitempty"`
	// Restore is what of an answer the secrets are put back into: all, text or off.
	// It holds for every conversation at once, as it changes nothing that leaves.
	Restore reach `toml:"restore" json:"-"`
	// PinDays is for how many days a conversation keeps the rules that it began
	// under; nil is DefaultPinDays.
	PinDays *int `toml:"pin_days" json:"-"`
	// Rules are modes by rule.
	Rules map[string]mode `toml:"rules" json:"rules,omitempty"`
	// Teams are what holds for a team instead.
	Teams map[string]teamSettings `toml:"teams" json:"teams,omitempty"`
	// Own are rules of the organisation's own.
	Own []ownRule `toml:"rule" json:"rule,omitempty"`
	// Allow are findings that are none.
	Allow []allowance `toml:"allow" json:"allow,omitempty"`
}

// DefaultPinDays is how long a conversation keeps the rules that it began under.
const DefaultPinDays = 30

type teamSettings struct {
	Mode        mode            `toml:"mode" json:"mode,omitempty"`
	Distinctive mode            `toml:"distinctive" json:"distinctive,omitempty"`
	Suspicious  mode            `toml:"suspicious" json:"suspicious,omitempty"`
	Restore     reach           `toml:"restore" json:"-"`
	Rules       map[string]mode `toml:"rules" json:"rules,omitempty"`
}

type ownRule struct {
	ID       string   `toml:"id" json:"id"`
	Pattern  string   `toml:"pattern" json:"pattern"`
	Keywords []string `toml:"keywords" json:"keywords,omitempty"`
	Class    string   `toml:"class" json:"class,omitempty"` // distinctive unless it says suspicious
	Mode     mode     `toml:"mode" json:"mode,omitempty"`
}

type allowance struct {
	Rule        string `toml:"rule" json:"rule,omitempty"`
	Fingerprint string `toml:"fingerprint" json:"fingerprint,omitempty"`
	Pattern     string `toml:"pattern" json:"pattern,omitempty"`
	Team        string `toml:"team" json:"team,omitempty"`
	Developer   string `toml:"developer" json:"developer,omitempty"`
	Reason      string `toml:"reason" json:"-"`
}

// Allowing returns the settings with entries for everybody at the end of the
// allow-list, one for each fingerprint.
func (s Settings) Allowing(fingerprints []string) Settings {
	s.Allow = slices.Clip(s.Allow)
	for _, fingerprint := range fingerprints {
		s.Allow = append(s.Allow, allowance{Fingerprint: fingerprint})
	}
	return s
}

// mode is a secrets.Mode as settings write it; empty says nothing.
type mode string

var modes = map[mode]secrets.Mode{"off": secrets.Off, "report": secrets.Report, "redact": secrets.Redact, "block": secrets.Block}

// reach is a secrets.Reach as settings write it; empty says nothing.
type reach string

var reaches = map[reach]secrets.Reach{"all": secrets.RestoreAll, "text": secrets.RestoreText, "off": secrets.RestoreOff}

// ParseSettings reads a [secrets] table, given as a TOML document of its own. An
// error names the key that is wrong.
func ParseSettings(table []byte) (Settings, error) {
	var s Settings
	err := toml.NewDecoder(bytes.NewReader(table)).DisallowUnknownFields().Decode(&s)
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		return Settings{}, fmt.Errorf("it has the unknown key %q", strings.Join(unknown.Errors[0].Key(), "."))
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		return Settings{}, fmt.Errorf("%s: %s", strings.Join(wrong.Key(), "."), strings.TrimPrefix(wrong.Error(), "toml: "))
	}
	if err != nil {
		return Settings{}, err
	}
	if err := s.words(); err != nil {
		return Settings{}, err
	}
	return s, s.validate()
}

// words returns what is written as a mode or a reach and is none.
func (s *Settings) words() error {
	for _, key := range []struct {
		name string
		mode mode
	}{{"mode", s.Mode}, {"distinctive", s.Distinctive}, {"suspicious", s.Suspicious}} {
		if err := key.mode.check(key.name); err != nil {
			return err
		}
	}
	if err := s.Restore.check("restore"); err != nil {
		return err
	}
	for id, m := range s.Rules {
		if err := m.check("rules." + id); err != nil {
			return err
		}
	}
	for _, r := range s.Own {
		if err := r.Mode.check("the mode of the rule " + r.ID); err != nil {
			return err
		}
	}
	for team, its := range s.Teams {
		part := Settings{Mode: its.Mode, Distinctive: its.Distinctive, Suspicious: its.Suspicious, Restore: its.Restore, Rules: its.Rules}
		if err := part.words(); err != nil {
			return fmt.Errorf("teams.%s.%w", team, err)
		}
	}
	return nil
}

func (m mode) check(key string) error {
	if _, known := modes[m]; !known && m != "" {
		return fmt.Errorf("%s is %q, which is no mode: use off, report, redact or block", key, string(m))
	}
	return nil
}

func (r reach) check(key string) error {
	if _, known := reaches[r]; !known && r != "" {
		return fmt.Errorf("%s is %q: use all, text or off", key, string(r))
	}
	return nil
}

func (s *Settings) validate() error {
	if s.PinDays != nil && (*s.PinDays < 0 || *s.PinDays > 3650) {
		return fmt.Errorf("pin_days is %d: use 0 to 3650 days", *s.PinDays)
	}
	for _, r := range s.Own {
		if r.Class != "" && r.Class != secrets.Distinctive.String() && r.Class != secrets.Suspicious.String() {
			return fmt.Errorf("the class of the rule %q is %q: use distinctive or suspicious", r.ID, r.Class)
		}
		if r.Pattern == "" {
			return fmt.Errorf("the rule %q has no pattern", r.ID)
		}
	}
	for i, a := range s.Allow {
		if a.Rule == "" && a.Fingerprint == "" && a.Pattern == "" {
			return fmt.Errorf("entry %d of [[secrets.allow]] would allow everything: name a rule, a fingerprint or a pattern", i+1)
		}
	}
	scanner, err := secrets.New(s.config(secrets.Key{}, 0, s.Allow))
	if err != nil {
		return err
	}
	ids := scanner.Rules()
	if err := unknownRule("rules", s.Rules, ids); err != nil {
		return err
	}
	for team, of := range s.Teams {
		if err := unknownRule("teams."+team+".rules", of.Rules, ids); err != nil {
			return err
		}
	}
	return nil
}

// unknownRule returns an error that names the first of named that is no rule, and
// those that it may have meant.
func unknownRule(key string, named map[string]mode, ids []string) error {
	for id := range named {
		if slices.Contains(ids, id) {
			continue
		}
		first, _, _ := strings.Cut(id, "-")
		var near []string
		for _, known := range ids {
			if first != "" && strings.Contains(known, first) {
				near = append(near, known)
			}
		}
		if len(near) == 0 || len(near) > 20 {
			return fmt.Errorf("%s names the unknown rule %q: 'codex-proxy secrets rules' lists them", key, id)
		}
		return fmt.Errorf("%s names the unknown rule %q; near it are %s", key, id, strings.Join(near, ", "))
	}
	return nil
}

// config is what a scanner is made from under these settings, with an allow-list.
func (s *Settings) config(key secrets.Key, edition int, allow []allowance) secrets.Config {
	config := secrets.Config{Key: key, Edition: edition}
	for _, r := range s.Own {
		class := secrets.Distinctive
		if r.Class == secrets.Suspicious.String() {
			class = secrets.Suspicious
		}
		config.Rules = append(config.Rules, secrets.Rule{ID: r.ID, Pattern: r.Pattern, Keywords: r.Keywords, Class: class})
	}
	for _, a := range allow {
		config.Allow = append(config.Allow, secrets.Allow{Rule: a.Rule, Fingerprint: a.Fingerprint, Pattern: a.Pattern})
	}
	return config
}

// allowed are the entries of the allow-list that hold for a developer of a team,
// with the bits of their places: who has the same bits has the same list.
func (s *Settings) allowed(developer, team string) (which string, list []allowance) {
	bits := make([]byte, len(s.Allow))
	for i, a := range s.Allow {
		if bits[i] = '0'; (a.Team == "" || a.Team == team) && (a.Developer == "" || a.Developer == developer) {
			bits[i] = '1'
			list = append(list, a)
		}
	}
	return string(bits), list
}

// mode says what becomes of what a rule finds in a team's requests. The nearest
// word counts: the team's on the rule, on all rules, on the class; the rule's own;
// that on all rules, on the class; the default.
func (s *Settings) mode(team, rule string, class secrets.Class) secrets.Mode {
	its := s.Teams[team]
	own := s.Rules[rule]
	for _, r := range s.Own {
		if own == "" && r.ID == rule {
			own = r.Mode
		}
	}
	words := []mode{its.Rules[rule], its.Mode, its.Suspicious, own, s.Mode, s.Suspicious}
	if class == secrets.Distinctive {
		words[2], words[5] = its.Distinctive, s.Distinctive
	}
	for _, word := range words {
		if word != "" {
			return modes[word]
		}
	}
	return secrets.DefaultPolicy(rule, class)
}

func (s *Settings) reach(team string) secrets.Reach {
	if its := s.Teams[team].Restore; its != "" {
		return reaches[its]
	}
	return reaches[s.Restore] // all, where it says nothing
}

func (s *Settings) pinDays() int {
	if s.PinDays == nil {
		return DefaultPinDays
	}
	return *s.PinDays
}
