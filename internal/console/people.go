package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/console/access"
)

// Administrator is the name of whoever is there from the first start.
const Administrator = "admin"

// Person is somebody who may sign in to the console by name, or a program that may
// call the API.
type Person struct {
	Name    string      `json:"name"`
	Role    access.Role `json:"role"`
	Created time.Time   `json:"created"`
	// Expires is the moment from which the credential is refused; zero means never.
	Expires time.Time `json:"expires,omitzero"`
	// Hash is the SHA-256 of the credential, which is random: it cannot be guessed
	// backwards.
	Hash []byte `json:"hash"`
	// Generation is another one whenever all sessions are to end.
	Generation string `json:"generation"`
	// API marks a credential for the API, which opens no page.
	API bool `json:"api,omitempty"`
	// Issuer marks somebody whom the organisation's issuer vouched for: they have no
	// credential here, and their role is what their groups said.
	Issuer bool `json:"issuer,omitempty"`
}

// Errors that a caller can do something about.
var (
	ErrUnknown = errors.New("there is nobody of this name")
	ErrExists  = errors.New("the name is in use")
	ErrVouched = errors.New("they sign in with the organisation's account, and have no credential here")
	ErrEnded   = errors.New("their time here has ended, and a new credential would have ended with it")
	ErrLast    = errors.New("somebody must stay who is admin")
)

// Credential is what somebody signs in with, in the clear. It masks itself wherever
// it is printed; only Reveal gives the text.
type Credential string

const (
	credentialPrefix = "codexconsole_"
	credentialBytes  = 20
)

// Reveal returns the credential in the clear, to be shown once.
func (c Credential) Reveal() string { return string(c) }

// String masks the credential.
func (Credential) String() string { return credentialPrefix + "…" }

// GoString masks the credential.
func (c Credential) GoString() string { return c.String() }

// MarshalText masks the credential.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func newCredential() Credential {
	var random [credentialBytes]byte
	rand.Read(random[:])
	return Credential(credentialPrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random[:])))
}

// book is who may sign in, as it is kept.
type book struct {
	// Key signs sessions and makes pseudonyms.
	Key    []byte   `json:"key"`
	People []Person `json:"people"`
}

// People are those who may sign in.
type People struct {
	Store Store
	Now   func() time.Time
}

const documentName = "people"

// load returns the book as it is kept; where there is none, an empty one.
func (p People) load(ctx context.Context) (b book, version int64, err error) {
	content, version, err := p.Store.ConsoleDocument(ctx, documentName)
	if err == nil && version > 0 {
		err = json.Unmarshal(content, &b)
	}
	if err != nil {
		return b, 0, fmt.Errorf("read who may use the console: %w", err)
	}
	return b, version, nil
}

// change lets edit edit the book, again if somebody else has changed it meanwhile.
func (p People) change(ctx context.Context, edit func(*book) error) error {
	const tries = 20
	for range tries {
		b, version, err := p.load(ctx)
		if err != nil {
			return err
		}
		if b.Key == nil {
			b.Key = make([]byte, sha256.Size)
			rand.Read(b.Key)
		}
		if err := edit(&b); err != nil {
			return err
		}
		content, err := json.Marshal(b)
		if err != nil {
			return fmt.Errorf("write who may use the console: %w", err)
		}
		written, err := p.Store.SetConsoleDocument(ctx, documentName, content, version)
		if err != nil {
			return fmt.Errorf("write who may use the console: %w", err)
		}
		if written {
			return nil
		}
	}
	return errors.New("who may use the console is being changed by others all the time: try again")
}

// Begin makes the administrator at the first start, and returns the credential then;
// it is empty at every other.
func (p People) Begin(ctx context.Context) (c Credential, err error) {
	b, _, err := p.load(ctx)
	if err != nil || len(b.People) > 0 {
		return "", err
	}
	err = p.change(ctx, func(b *book) error {
		c = ""
		if len(b.People) == 0 {
			c = newCredential()
			b.People = append(b.People, p.person(Administrator, access.Admin, c, time.Time{}))
		}
		return nil
	})
	return c, err
}

// key returns what signs sessions; it is made where nobody was added yet, as
// developers need no entry here.
func (p People) key(ctx context.Context) ([]byte, error) {
	b, _, err := p.load(ctx)
	if err != nil || b.Key != nil {
		return b.Key, err
	}
	err = p.change(ctx, func(made *book) error { b.Key = made.Key; return nil })
	return b.Key, err
}

func (p People) person(name string, role access.Role, c Credential, expires time.Time) Person {
	hash := sha256.Sum256([]byte(c))
	return Person{Name: name, Role: role, Created: p.Now().UTC().Truncate(time.Second), Expires: expires, Hash: hash[:], Generation: rand.Text()}
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$`)

// Add adds somebody, or with api a program, and returns their credential.
func (p People) Add(ctx context.Context, name string, role access.Role, api bool, expires time.Time) (Credential, error) {
	if !nameForm.MatchString(name) {
		return "", fmt.Errorf("%q cannot be a name here: use letters, digits and . _ @ + -, such as an e-mail address", name)
	}
	if role == access.Developer {
		return "", errors.New("a developer signs in with the token that they use with Codex, and needs no entry here")
	}
	if !expires.IsZero() && !p.Now().Before(expires) {
		return "", errors.New("the credential would expire before it is first used: name a later time")
	}
	c := newCredential()
	err := p.change(ctx, func(b *book) error {
		if slices.ContainsFunc(b.People, func(is Person) bool { return is.Name == name }) {
			return ErrExists
		}
		person := p.person(name, role, c, expires)
		person.API = api
		b.People = append(b.People, person)
		return nil
	})
	if err != nil {
		return "", err
	}
	return c, nil
}

// Vouched keeps that the issuer vouched for somebody, whose groups give them a role
// (none, when it is empty) until a time. Who was added by name has the role that they
// were added with. It returns false where there is no role for them.
func (p People) Vouched(ctx context.Context, name string, role access.Role, until time.Time) (found Person, ok bool, err error) {
	err = p.change(ctx, func(b *book) error {
		b.People = slices.DeleteFunc(b.People, func(is Person) bool { // whose time is over
			return is.Issuer && (!p.Now().Before(is.Expires) || is.Name == name && role == "")
		})
		i := slices.IndexFunc(b.People, func(is Person) bool { return strings.EqualFold(is.Name, name) && !is.API })
		if i < 0 && role == "" {
			ok = false
			return nil
		}
		if i < 0 {
			b.People, i = append(b.People, Person{Name: name, Created: p.Now().UTC().Truncate(time.Second), Generation: rand.Text(), Issuer: true}), len(b.People)
		}
		if b.People[i].Issuer {
			b.People[i].Role, b.People[i].Expires = role, until
		}
		found, ok = b.People[i], true
		return nil
	})
	return found, ok && (found.Expires.IsZero() || p.Now().Before(found.Expires)), err
}

// Remove removes somebody, whose sessions end.
func (p People) Remove(ctx context.Context, name string) error {
	return p.change(ctx, func(b *book) error {
		i := slices.IndexFunc(b.People, func(is Person) bool { return is.Name == name })
		if i < 0 {
			return ErrUnknown
		}
		removed := b.People[i]
		b.People = slices.Delete(b.People, i, i+1)
		if removed.Role == access.Admin && !removed.API && !removed.Issuer && !slices.ContainsFunc(b.People, func(is Person) bool { return is.Role == access.Admin && !is.API && !is.Issuer }) {
			return ErrLast
		}
		return nil
	})
}

// Reset gives somebody another credential, which ends when the one before would have;
// their sessions end. The administrator is
// made anew where there is none.
func (p People) Reset(ctx context.Context, name string) (c Credential, err error) {
	err = p.change(ctx, func(b *book) error {
		c = newCredential()
		i := slices.IndexFunc(b.People, func(is Person) bool { return is.Name == name })
		switch {
		case i >= 0 && b.People[i].Issuer:
			return ErrVouched
		case i >= 0 && !b.People[i].Expires.IsZero() && !p.Now().Before(b.People[i].Expires):
			return ErrEnded
		case i >= 0:
			fresh := p.person(name, b.People[i].Role, c, b.People[i].Expires)
			fresh.API = b.People[i].API
			b.People[i] = fresh
		case name == Administrator:
			b.People = append(b.People, p.person(name, access.Admin, c, time.Time{}))
		default:
			return ErrUnknown
		}
		return nil
	})
	return c, err
}

// endings is the document that says with what a developer's sessions end. Each has one
// of their own, from their first signing out on, as they may be too many for the book.
func endings(developer string) string { return "sessions/" + strings.ToLower(developer) }

// generation is what sessions of a developer must carry that begin now or go on.
func (p People) generation(ctx context.Context, developer string) (string, error) {
	content, _, err := p.Store.ConsoleDocument(ctx, endings(developer))
	if err != nil {
		return "", fmt.Errorf("read whether %s has signed out of the console: %w", developer, err)
	}
	return string(content), nil
}

// EndDeveloper ends all sessions of a developer.
func (p People) EndDeveloper(ctx context.Context, developer string) error {
	_, version, err := p.Store.ConsoleDocument(ctx, endings(developer))
	if err == nil {
		// Where somebody else has written it since, they have ended the sessions.
		_, err = p.Store.SetConsoleDocument(ctx, endings(developer), []byte(rand.Text()), version)
	}
	if err != nil {
		return fmt.Errorf("end the sessions of %s in the console: %w", developer, err)
	}
	return nil
}

// End ends all sessions of somebody, whose name is compared without regard to case.
func (p People) End(ctx context.Context, name string) error {
	is := func(person Person) bool { return strings.EqualFold(person.Name, name) }
	if b, _, err := p.load(ctx); err != nil || !slices.ContainsFunc(b.People, is) {
		return err
	}
	return p.change(ctx, func(b *book) error {
		for i := range b.People {
			if is(b.People[i]) {
				b.People[i].Generation = rand.Text()
			}
		}
		return nil
	})
}

// All returns those who may sign in and what may call the API, by name.
func (p People) All(ctx context.Context) ([]Person, error) {
	b, _, err := p.load(ctx)
	slices.SortFunc(b.People, func(x, y Person) int { return strings.Compare(x.Name, y.Name) })
	return b.People, err
}

// holder returns who has a credential.
func (b book) holder(text string, api bool, now time.Time) (Person, bool) {
	hash := sha256.Sum256([]byte(text))
	var found Person
	matches := 0
	for _, person := range b.People {
		if subtle.ConstantTimeCompare(person.Hash, hash[:]) == 1 && person.API == api {
			found, matches = person, 1
		}
	}
	return found, matches == 1 && (found.Expires.IsZero() || now.Before(found.Expires))
}

// named returns somebody by name, as long as their sessions of a generation hold.
func (b book) named(name, generation string, now time.Time) (Person, bool) {
	for _, person := range b.People {
		if person.Name == name && person.Generation == generation && !person.API {
			return person, person.Expires.IsZero() || now.Before(person.Expires)
		}
	}
	return Person{}, false
}
