//go:build !windows

package main

import "golang.org/x/sys/unix"

// freeSpace is how many bytes of a directory's disk are free for this user; known is
// false where that cannot be told.
func freeSpace(directory string) (bytes int64, known bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(directory, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}
