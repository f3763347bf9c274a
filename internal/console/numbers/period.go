package numbers

import "time"

// period is a time in whole quarters of an hour, and the steps that charts cut it
// into.
type period struct {
	// From and To bound it: [From, To).
	From, To time.Time
	// Until is the end of what has already been.
	Until time.Time
	Unit  unit
	// Begins are when the steps begin.
	Begins []time.Time
}

// unit is how long a step is.
type unit string

const (
	hours  unit = "hour"
	days   unit = "day"
	weeks  unit = "week"
	months unit = "month"
)

// A range that is at most so many days long has steps of an hour, a day, a week.
const (
	mostDaysByHour = 2
	mostDaysByDay  = 92
	mostDaysByWeek = 2 * 366
	// mostDays bounds what can be asked for.
	mostDays = 20 * 366
)

// newPeriod is the days from first to last, inclusive, each a date in the zone.
func newPeriod(first, last time.Time, zone *time.Location, now time.Time) period {
	p := period{From: startOfDay(first, zone), To: startOfDay(last.AddDate(0, 0, 1), zone)}
	p.Until = p.To
	if now.Before(p.Until) {
		p.Until = maxTime(p.From, now.Truncate(quarter).Add(quarter))
	}
	count := daysBetween(first, last) + 1
	switch {
	case count <= mostDaysByHour:
		p.Unit = hours
		for at := p.From; at.Before(p.To); at = at.Add(time.Hour) {
			p.Begins = append(p.Begins, at)
		}
		return p
	case count <= mostDaysByDay:
		p.Unit = days
	case count <= mostDaysByWeek:
		p.Unit = weeks
	default:
		p.Unit = months
	}
	for day := first; !day.After(last); day = p.Unit.next(day) {
		p.Begins = append(p.Begins, startOfDay(day, zone))
	}
	return p
}

// quarter is what the ledger's times are whole numbers of.
const quarter = 15 * time.Minute

// next is the date on which the step after that of a date begins. Weeks begin on
// Mondays.
func (u unit) next(day time.Time) time.Time {
	switch u {
	case weeks:
		return day.AddDate(0, 0, 7-(int(day.Weekday())+6)%7)
	case months:
		return time.Date(day.Year(), day.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	}
	return day.AddDate(0, 0, 1)
}

// label names a step on a page.
func (u unit) label(begin time.Time) string {
	switch u {
	case hours:
		return begin.Format("Mon 2 Jan 15:04")
	case weeks:
		return "from " + begin.Format("Mon 2 Jan 2006")
	case months:
		return begin.Format("January 2006")
	}
	return begin.Format("Mon 2 Jan 2006")
}

// end is when a step ends.
func (p *period) end(step int) time.Time {
	if step+1 < len(p.Begins) {
		return p.Begins[step+1]
	}
	return p.To
}

// date is the date that a moment has in a zone, as a time of no zone.
func date(at time.Time, zone *time.Location) time.Time {
	year, month, day := at.In(zone).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func daysBetween(first, last time.Time) int { return int(last.Sub(first) / (24 * time.Hour)) }

// startOfDay is the first moment of a date in a zone.
func startOfDay(day time.Time, zone *time.Location) time.Time {
	year, month, date := day.Date()
	start := time.Date(year, month, date, 0, 0, 0, 0, zone)
	if start.Day() != date { // the clock skips midnight here, and the day begins at one
		start = start.Add(time.Hour)
	}
	return start
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
