package main

import (
	"codex-proxy/internal/disk"
	"codex-proxy/internal/record"
)

// openArchive opens the archive that the settings name.
func openArchive(c *console) (record.Archive, error) {
	return disk.NewArchive(c.settings.archiveDirectory())
}
