package secrets

// Mode says what becomes of a secret.
type Mode uint8

const (
	Off    Mode = iota // not even reported
	Report             // it leaves, and is reported
	Redact             // a placeholder leaves instead
	Block              // as Redact, and an exchange that brings it anew is to be refused
)

// String returns the mode as it is written in settings.
func (m Mode) String() string { return [...]string{"off", "report", "redact", "block"}[m] }

// Policy says what becomes of what a rule finds. It must give the same answer
// for all of a conversation.
type Policy func(rule string, class Class) Mode

// DefaultPolicy redacts what is distinctive and reports what is suspicious.
func DefaultPolicy(_ string, class Class) Mode {
	if class == Distinctive {
		return Redact
	}
	return Report
}
