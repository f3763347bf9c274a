package awsdeploy

import "time"

// Hurry lets a test look at AWS again at once.
func (c *Cloud) Hurry() { c.pace = time.Nanosecond }

// OwnerIs makes another account the one that must own buckets.
func (c *Cloud) OwnerIs(owner string) { c.owner = owner }

// Clock gives a Smoke the time, and tells when the first piece of a streamed answer
// is there.
func (s *Smoke) Clock(now func() time.Time, seen func()) { s.now, s.seen = now, seen }
