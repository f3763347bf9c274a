package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by release builds (-ldflags "-X main.version=…").
var version = "dev"

type versionCommand struct {
	jsonFlag
}

func (cmd *versionCommand) Run(c *console) error {
	b := thisBuild()
	if cmd.JSON {
		return printSafeJSON(c.stdout, b)
	}
	modified := ""
	if b.Modified {
		modified = " with changes"
	}
	_, err := fmt.Fprintf(c.stdout, "codex-proxy %s (commit %s%s, %s, %s %s)\n",
		b.Version, b.Commit, modified, b.Date, b.Go, b.Platform)
	return err
}

// build is what this program was made from.
type build struct {
	Version string `json:"version"`
	// Commit and Date are those of the commit, the date in RFC 3339 and UTC;
	// "unknown" where it was built outside of a git work tree.
	Commit string `json:"commit"`
	Date   string `json:"date"`
	// Modified says that the work tree had changes on top of the commit.
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// thisBuild reads what the toolchain stamped into the program.
func thisBuild() build {
	b := build{
		Version: version, Commit: "unknown", Date: "unknown",
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
