package replay

import (
	"context"
	"io"
	"net/url"
	"slices"
	"strconv"

	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

const (
	// listed is how many rows a list has.
	listed = 50
	// turnsOnPage is how many turns of a session a page has, and mostTurns how
	// many the page of all of them.
	turnsOnPage = 50
	mostTurns   = 1000
	// mostExchanges bounds the exchanges of a session whose facts are held.
	mostExchanges = 20_000
)

// sessionList is the page of sessions.
type sessionList struct {
	Filter   filter
	Sessions []ledger.Session
	// Before is the exchange before which the list goes on, and Older where; empty at
	// its end.
	Before, Older string
}

// sessions shows the list of sessions.
func (v *view) sessions() error {
	list, err := v.listSessions()
	if err != nil {
		return err
	}
	return v.Page("Sessions", "sessions", list)
}

// listSessions reads the sessions that the address asks for.
func (v *view) listSessions() (sessionList, error) {
	f, err := v.filter()
	if err != nil {
		return sessionList{}, err
	}
	all, err := v.Ledger.Sessions(v.R.Context(), ledger.SessionQuery{
		From: f.from, To: f.to, Before: f.before, Developer: f.Developer, Team: f.Team, Model: f.Model,
		Outcome: exchange.Outcome(f.Outcome), Limit: listed + 1,
	})
	if err != nil {
		return sessionList{}, err
	}
	list := sessionList{Filter: f, Sessions: all}
	if len(all) > listed {
		list.Sessions = all[:listed]
		list.Before = all[listed-1].Last.ID
		list.Older = f.older(sessionsPath, list.Before)
	}
	return list, nil
}

// sessionPage is what stands above and below the turns of a session.
type sessionPage struct {
	Developer, Team, Session string
	First, Last              exchange.Exchange
	Models                   []string
	Total                    ledger.Counts
	Turns                    int
	// From and To are the numbers of the turns on this page; All says that the
	// page was asked to have every turn.
	From, To      int
	All           bool
	Pages         []pageLink
	Every         string // where all turns are on one page; empty if this is it
	Truncated     bool   // the session has more exchanges than are held
	SessionsPath  string
	TurnsOnPage   int
	MostTurnsPage int
}

// pageLink leads to some turns of the session.
type pageLink struct {
	From, To int
	Address  string
	Current  bool
}

// session shows the turns of one session.
func (v *view) session() error {
	q := v.R.URL.Query()
	facts, truncated, allowed, err := v.factsOf(q.Get("developer"), q.Get("session"))
	if !allowed {
		return err
	}
	turn, err := wantedTurn(q, facts)
	if err != nil {
		return err
	}
	page := newSessionPage(facts, turn, q.Get("all") != "")
	page.Truncated = truncated
	return v.Layout("Session of "+page.Developer, func(w io.Writer) error {
		if err := v.Part(w, "session", page); err != nil {
			return err
		}
		v.Flush()
		for turn := range Turns(v.R.Context(), v.Archive, facts, page.From, page.To-page.From+1) {
			if err := v.Part(w, "turn", turn); err != nil {
				return err
			}
			v.Flush()
		}
		return v.Part(w, "session-end", page)
	})
}

// factsOf returns the facts of a session's exchanges for who may read them. If allowed
// is false, the request has been answered, or the error says what is wrong.
func (v *view) factsOf(developer, session string) (facts []exchange.Exchange, truncated, allowed bool, err error) {
	if v.Viewer.Only != "" && developer != v.Viewer.Only || developer == "" || session == "" {
		return nil, false, false, visit.NotFound("There is no such session.")
	}
	if allowed, err := v.allowed(developer); !allowed {
		return nil, false, false, err
	}
	facts, truncated, err = Exchanges(v.R.Context(), v.Ledger, developer, session)
	if err != nil {
		return nil, false, false, err
	}
	if len(facts) == 0 {
		return nil, false, false, visit.NotFound("There is no such session. One is listed once its first exchange has ended.")
	}
	return facts, truncated, true, nil
}

// Exchanges returns the facts of a session's exchanges in the order in which they
// began, as Turns takes them: those of one developer or, where the name is empty, of
// every session with this id. Of one that has too many to hold they are the newest,
// and truncated is true.
func Exchanges(ctx context.Context, from Ledger, developer, session string) (all []exchange.Exchange, truncated bool, err error) {
	const page = 1000
	q := ledger.ExchangeQuery{Developer: developer, Session: session, Limit: page}
	for {
		some, err := from.Exchanges(ctx, q)
		if err != nil {
			return nil, false, err
		}
		all = append(all, some...)
		if len(some) < page {
			break
		}
		if truncated = len(all) >= mostExchanges; truncated {
			break
		}
		q.Before = some[len(some)-1].ID
	}
	slices.Reverse(all)
	return all, truncated, nil
}

// wantedTurn is the turn that an address asks for, by its number or its
// exchange's id; the first, if it asks for none.
func wantedTurn(q url.Values, facts []exchange.Exchange) (int, error) {
	if id := q.Get("exchange"); id != "" {
		return 1 + max(0, slices.IndexFunc(facts, func(e exchange.Exchange) bool { return e.ID == id })), nil
	}
	number := q.Get("turn")
	if number == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(facts) {
		return 0, visit.NotFound("This session has the turns 1 to %d.", len(facts))
	}
	return n, nil
}

func newSessionPage(facts []exchange.Exchange, turn int, all bool) sessionPage {
	p := sessionPage{
		Developer: facts[0].Developer, Session: facts[0].Session, First: facts[0], Last: facts[len(facts)-1],
		Turns: len(facts), All: all, SessionsPath: sessionsPath, TurnsOnPage: turnsOnPage, MostTurnsPage: mostTurns,
	}
	p.Team = p.Last.Team
	for _, e := range facts {
		p.Total = p.Total.Add(ledger.Count(e))
		if e.Model != "" && !slices.Contains(p.Models, e.Model) {
			p.Models = append(p.Models, e.Model)
		}
	}
	each := turnsOnPage
	if all {
		each = mostTurns
	}
	address := sessionAddress(p.Developer, p.Session)
	for from := 1; from <= len(facts); from += each {
		link := pageLink{From: from, To: min(from+each-1, len(facts)), Address: address + "&turn=" + strconv.Itoa(from)}
		if all {
			link.Address += "&all=1"
		}
		if link.Current = turn >= link.From && turn <= link.To; link.Current {
			p.From, p.To = link.From, link.To
		}
		p.Pages = append(p.Pages, link)
	}
	if !all && len(p.Pages) > 1 {
		p.Every = address + "&all=1"
	}
	return p
}
