package numbers

import "codex-proxy/internal/exchange"

const livePath = "/console/live"

// running are the exchanges that run now, of those that the filter chooses.
func (v *view) running(f filter) (chosen []exchange.Running) {
	for _, e := range v.Running() {
		if (f.whose == "" || f.whose == e.Developer) && (f.Team == "" || f.Team == e.Team) && (f.Model == "" || f.Model == e.Model) {
			chosen = append(chosen, e)
		}
	}
	return chosen
}
