//go:build !windows

package onboard

// restrict has nothing to do where a file's mode says who may read it.
func restrict(string) error { return nil }
