package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	sqlite "modernc.org/sqlite"
)

// SQLite's calls end when the disk answers, whatever their context says. So each
// connection makes its calls on a goroutine of its own, and who waits for one goes
// away when the context ends. The connection is then lost: it is closed when the
// call comes back. How many calls may be out like that is bounded.

const (
	// maxCall is how long a call may take whose context sets no limit, and
	// maxMaintenance one that goes through a whole file.
	maxCall        = 5 * time.Minute
	maxMaintenance = 24 * time.Hour
	// interruptWait is how long a call that is told to stop may take to do so.
	interruptWait = 250 * time.Millisecond
	// closeWait is how long it may take to end a connection, a transaction, a
	// statement or an answer.
	closeWait = 5 * time.Second
	// maxRows is how many rows a connection reads in one call.
	maxRows = 64
)

// ErrHanging says that the disk does not answer.
var ErrHanging = errors.New("the disk does not answer")

// maintenance is for calls that may go through a whole file.
func maintenance(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, maxMaintenance)
}

// pool makes the connections of one sql.DB. It is a driver.Connector.
type pool struct {
	file   *file
	source string
	limit  int // most calls that may be out

	mu    sync.Mutex
	out   int       // calls that nobody waits for any more
	since time.Time // when the first of them was given up
}

func (p *pool) Driver() driver.Driver { return &sqlite.Driver{} }

// Connect implements driver.Connector.
func (p *pool) Connect(ctx context.Context) (driver.Conn, error) {
	if err := p.hanging(); err != nil {
		return nil, err
	}
	c := &conn{pool: p, calls: make(chan func(), 1)}
	go c.work()
	err := c.call(ctx, func() (err error) {
		c.conn, err = p.open()
		return err
	})
	if err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

// connection is what SQLite's driver makes.
type connection interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

func (p *pool) open() (connection, error) {
	made, err := p.Driver().Open(p.source)
	if err != nil {
		return nil, err
	}
	return made.(connection), nil
}

// hanging returns an error while as many calls are out as may be.
func (p *pool) hanging() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out < p.limit {
		return nil
	}
	return fmt.Errorf("%w since %s", ErrHanging, p.since.UTC().Format(time.RFC3339))
}

func (p *pool) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == 0 {
		p.since = time.Now()
	}
	p.out++
}

func (p *pool) cameBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out--
}

// conn is a connection. Its methods are called by one goroutine at a time, as
// database/sql does.
type conn struct {
	pool  *pool
	conn  connection // touched by calls alone
	calls chan func()
	lost  bool
	ended bool
}

func (c *conn) work() {
	for call := range c.calls {
		call()
	}
}

// end ends the goroutine, once it is through.
func (c *conn) end() {
	if !c.ended {
		c.ended = true
		close(c.calls)
	}
}

// call has the connection's goroutine run do, and waits until it has or ctx ends.
// What do writes to must not be looked at when call fails.
func (c *conn) call(ctx context.Context, do func() error) error {
	if c.lost || c.ended {
		return ErrHanging
	}
	if err := c.pool.file.usable(); err != nil {
		return err
	}
	return c.run(ctx, do)
}

// run is call for what is of use even when the file is not.
func (c *conn) run(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	c.calls <- func() { done <- do() }
	limit := time.NewTimer(maxCall)
	defer limit.Stop()
	if _, bounded := ctx.Deadline(); bounded {
		limit.Stop()
	}
	select {
	case err := <-done:
		c.pool.file.note(err)
		return err
	case <-limit.C:
	case <-ctx.Done():
		limit.Reset(interruptWait)
		select {
		case err := <-done:
			return err
		case <-limit.C:
		}
	}
	c.lose(done)
	return fmt.Errorf("%w: what was asked of it is given up, and may still happen", ErrHanging)
}

// lose leaves a call to itself, and the connection with it.
func (c *conn) lose(done <-chan error) {
	c.lost = true
	c.pool.giveUp()
	c.calls <- func() {
		<-done
		c.pool.cameBack()
		if c.conn != nil {
			_ = c.conn.Close() // nobody is there to be told
		}
	}
	c.end()
}

// Close implements driver.Conn.
func (c *conn) Close() error {
	err := c.finish(func() error {
		open := c.conn
		c.conn = nil
		return open.Close()
	})
	c.end()
	return err
}

// finish is call for what ends something. What a connection that is lost held goes
// with it.
func (c *conn) finish(do func() error) error {
	if c.lost || c.ended {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	return c.run(ctx, do)
}

// IsValid implements driver.Validator.
func (c *conn) IsValid() bool { return !c.lost }

// ResetSession implements driver.SessionResetter.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.lost {
		return driver.ErrBadConn
	}
	return nil
}

// Prepare implements driver.Conn.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s := &statement{conn: c}
	err := c.call(ctx, func() error {
		made, err := c.conn.PrepareContext(ctx, query)
		if err == nil {
			s.inputs = made.NumInput()
			s.made = made
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Begin implements driver.Conn.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	t := &transaction{conn: c, ctx: ctx}
	err := c.call(ctx, func() (err error) {
		t.made, err = c.conn.BeginTx(ctx, options)
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Result, error) {
	var result driver.Result
	err := c.call(ctx, func() (err error) {
		result, err = c.conn.ExecContext(ctx, query, arguments)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Rows, error) {
	return c.query(ctx, func() (driver.Rows, error) { return c.conn.QueryContext(ctx, query, arguments) })
}

func (c *conn) query(ctx context.Context, run func() (driver.Rows, error)) (driver.Rows, error) {
	r := &rows{conn: c, ctx: ctx}
	err := c.call(ctx, func() (err error) {
		if r.made, err = run(); err != nil {
			return err
		}
		r.columns = r.made.Columns()
		r.read()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// statement is a prepared statement.
type statement struct {
	conn   *conn
	made   driver.Stmt
	inputs int
}

// NumInput implements driver.Stmt.
func (s *statement) NumInput() int { return s.inputs }

// Close implements driver.Stmt.
func (s *statement) Close() error { return s.conn.finish(s.made.Close) }

// Exec implements driver.Stmt.
func (s *statement) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }

// Query implements driver.Stmt.
func (s *statement) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

// ExecContext implements driver.StmtExecContext.
func (s *statement) ExecContext(ctx context.Context, arguments []driver.NamedValue) (driver.Result, error) {
	var result driver.Result
	err := s.conn.call(ctx, func() (err error) {
		result, err = s.made.(driver.StmtExecContext).ExecContext(ctx, arguments)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// QueryContext implements driver.StmtQueryContext.
func (s *statement) QueryContext(ctx context.Context, arguments []driver.NamedValue) (driver.Rows, error) {
	return s.conn.query(ctx, func() (driver.Rows, error) {
		return s.made.(driver.StmtQueryContext).QueryContext(ctx, arguments)
	})
}

// transaction is a transaction. The context that it began with bounds its end.
type transaction struct {
	conn *conn
	ctx  context.Context
	made driver.Tx
}

// Commit implements driver.Tx.
func (t *transaction) Commit() error { return t.conn.call(t.ctx, t.made.Commit) }

// Rollback implements driver.Tx.
func (t *transaction) Rollback() error { return t.conn.finish(t.made.Rollback) }

// rows are the rows of an answer, some of them read ahead.
type rows struct {
	conn    *conn
	ctx     context.Context
	made    driver.Rows
	columns []string
	ahead   [][]driver.Value
	size    int   // rows that the last call wanted
	end     error // what comes after the rows that are read
}

// read reads some rows, on the connection's goroutine: two at first, as most
// answers have one.
func (r *rows) read() {
	r.size = min(max(2, 2*r.size), maxRows)
	r.ahead = make([][]driver.Value, 0, r.size)
	values := make([]driver.Value, r.size*len(r.columns))
	for range r.size {
		row := values[:len(r.columns):len(r.columns)]
		values = values[len(r.columns):]
		if r.end = r.made.Next(row); r.end != nil {
			return
		}
		r.ahead = append(r.ahead, row)
	}
}

// Columns implements driver.Rows.
func (r *rows) Columns() []string { return r.columns }

// Next implements driver.Rows.
func (r *rows) Next(row []driver.Value) error {
	if len(r.ahead) == 0 && r.end == nil {
		if err := r.conn.call(r.ctx, func() error { r.read(); return nil }); err != nil {
			return err
		}
	}
	if len(r.ahead) == 0 {
		return r.end
	}
	copy(row, r.ahead[0])
	r.ahead = r.ahead[1:]
	return nil
}

// Close implements driver.Rows.
func (r *rows) Close() error { return r.conn.finish(r.made.Close) }
