package console

import (
	"context"
	"io"
	"net/http"
)

// Fact is a part of what holds in the server: a table of the page of settings, and
// what the API tells under its name.
type Fact struct {
	// Name is the fact's in the API, as in GET /api/v1/prices.
	Name, Title string
	Read        func(ctx context.Context) (Table, error)
}

// Table is what a Fact is just now.
type Table struct {
	About   string
	Columns []string
	Rows    [][]string
	// Data is what the API tells, as an object, with what the command line prints
	// with --json.
	Data any
}

// settings shows what holds. All is asked at once, as some of it takes its time.
func (c *Console) settings(w http.ResponseWriter, r *http.Request) {
	if _, ok := c.allowed(w, r, readers); !ok {
		return
	}
	type section struct {
		Title string
		Table
		Problem string
	}
	ctx, read := r.Context(), make([]chan section, len(c.Facts))
	for i, fact := range c.Facts {
		read[i] = make(chan section, 1)
		go func() {
			s := section{Title: fact.Title}
			var err error
			if s.Table, err = fact.Read(ctx); err != nil {
				c.Log.Error("a part of the settings could not be read", "part", fact.Name, "error", err)
				s.Problem = "This could not be read just now. The server's log says why."
			}
			read[i] <- s
		}()
	}
	err := c.Layout(w, r, "Settings", func(w io.Writer) error {
		for i := range read {
			if err := c.templates.ExecuteTemplate(w, "fact", <-read[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && r.Context().Err() == nil {
		c.Log.Error("a page of the console could not be written", "path", r.URL.Path, "error", err)
	}
}

// factJSON tells programs one fact.
func (c *Console) factJSON(fact Fact) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, ok := c.allowed(w, r, readers); !ok {
			return
		}
		table, err := fact.Read(r.Context())
		c.answer(w, r, table.Data, err)
	}
}
