package main

import "golang.org/x/sys/windows"

// freeSpace is how many bytes of a directory's disk are free for this user; known is
// false where that cannot be told.
func freeSpace(directory string) (bytes int64, known bool) {
	path, err := windows.UTF16PtrFromString(directory)
	if err != nil {
		return 0, false
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, false
	}
	return int64(free), true
}
