package exchange

// Secret is one secret of an exchange, in however many places it stands there.
type Secret struct {
	Fingerprint string
	// Rule and Path are those of its first finding, and of the first one that is
	// new where there is such.
	Rule, Path string
	// Mode says what became of it. One that left as it was from one place has
	// left, whatever became of it in others.
	Mode FindingMode
	// Places counts its findings.
	Places int
	// New says that the exchange brought it anew, and not only with a history
	// that was sent before.
	New bool
}

// Secrets returns the secrets of the exchange in the order of their first
// findings.
func (e *Exchange) Secrets() []Secret {
	var all []Secret
	at := map[string]int{}
	for _, f := range e.Findings {
		mode := e.Became(f)
		i, seen := at[f.Fingerprint]
		if !seen {
			at[f.Fingerprint] = len(all)
			all = append(all, Secret{f.Fingerprint, f.Rule, f.Path, mode, 1, f.New})
			continue
		}
		s := &all[i]
		s.Places++
		if severity(mode) > severity(s.Mode) {
			s.Mode = mode
		}
		if f.New && !s.New {
			s.New, s.Rule, s.Path = true, f.Rule, f.Path
		}
	}
	return all
}

// Became says what became of a secret that the exchange brought. Nothing of a
// refused exchange has left: what would have is Blocked.
func (e *Exchange) Became(f Finding) FindingMode {
	if f.Mode == Reported && e.Outcome == Refused {
		return Blocked
	}
	return f.Mode
}

// severity orders the modes by what a reader must hear of first.
func severity(m FindingMode) int {
	switch m {
	case Reported:
		return 2
	case Blocked:
		return 1
	}
	return 0
}
