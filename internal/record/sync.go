package record

import (
	"fmt"
	"slices"
)

// syncBehind syncs what is written for as long as the journal is open.
func (j *journal) syncBehind() {
	defer close(j.done)
	for range j.syncWork {
		j.sync()
	}
	j.sync()
}

// sync syncs all that is written by now, and tells who waits for it.
func (j *journal) sync() {
	j.mu.Lock()
	batches := slices.Clone(j.unsynced)
	var dirty []*segment
	for s := range j.segments {
		if s.dirty {
			s.dirty = false
			dirty = append(dirty, s)
		}
	}
	j.mu.Unlock()
	for _, s := range dirty {
		j.syncSegment(s)
	}
	for _, b := range batches {
		j.finishSync(b)
	}
	for _, s := range dirty {
		j.release(s, 1)
	}
}

// syncSegment syncs a segment. After a failure nobody knows what is on the disk, even
// if a later sync works: the segment is given up, and what is whole in it stays
// readable.
func (j *journal) syncSegment(s *segment) {
	j.mu.Lock()
	failed := s.failed
	j.mu.Unlock()
	if failed != nil {
		return
	}
	err := s.file.Sync()
	if err == nil {
		err = s.inPlace()
	}
	if err != nil {
		j.mu.Lock()
		s.failed = fmt.Errorf("write to the spool: %w", err)
		j.mu.Unlock()
	}
}

// finishSync tells who waits for a batch that it is on the disk, or is not.
func (j *journal) finishSync(b *batch) {
	j.mu.Lock()
	err := b.segment.failed
	for _, s := range b.refersTo {
		if err == nil {
			err = s.failed
		}
	}
	j.mu.Unlock()
	if err != nil {
		for _, e := range b.entries {
			e.writer.lost(err)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unsynced = j.unsynced[1:]
	switch {
	case err != nil:
		j.failure, j.failedAt = err, b.number
	case b.number > j.failedAt:
		j.failure = nil
	}
	b.err, b.entries, b.refersTo = err, nil, nil
	close(b.synced)
}
