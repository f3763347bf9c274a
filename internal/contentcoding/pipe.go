package contentcoding

import (
	"io"
	"sync"
)

// pipeSize is how many bytes a pipe holds for a reader that falls behind; while
// it reads those it may hold as many again.
const pipeSize = 64 << 10

// pipe carries bytes from a writer to a reader. Unlike io.Pipe it lets the writer
// run ahead, and lets it go once the reader has given up.
type pipe struct {
	mu        sync.Mutex
	changed   sync.Cond // signalled for the other side, of which there is but one
	waiting   []byte    // written and not yet taken by the reader
	closed    bool      // nothing more will be written
	abandoned bool      // nothing more will be read

	// The reader's own.
	taken []byte // what it took and has not read yet
	spare []byte // the buffer that taken is in
}

func newPipe() *pipe {
	p := new(pipe)
	p.changed.L = &p.mu
	return p
}

// write copies b into the pipe, waiting for room. What nobody will read is let go.
func (p *pipe) write(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		for len(p.waiting) == pipeSize && !p.abandoned {
			p.changed.Wait()
		}
		if p.abandoned {
			return
		}
		n := min(len(b), pipeSize-len(p.waiting))
		p.waiting = append(p.waiting, b[:n]...)
		b = b[n:]
		p.changed.Signal()
	}
}

// Read implements io.Reader for the goroutine that decodes.
func (p *pipe) Read(b []byte) (int, error) {
	if len(p.taken) == 0 && !p.take() {
		return 0, io.EOF
	}
	n := copy(b, p.taken)
	p.taken = p.taken[n:]
	return n, nil
}

// take waits for bytes and takes all there are; false at the end.
func (p *pipe) take() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) == 0 && !p.closed {
		p.changed.Wait()
	}
	p.taken = p.waiting
	p.waiting, p.spare = p.spare[:0], p.waiting
	p.changed.Signal()
	return len(p.taken) > 0
}

// close ends what is written.
func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.changed.Signal()
}

// abandon ends reading: the writer never waits again.
func (p *pipe) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandoned = true
	p.waiting = nil
	p.changed.Signal()
}
