//go:build !linux

package sqlite

// fileSystem is the name of the VFS: SQLite's own.
const fileSystem = ""

func registerFileSystem() {}
