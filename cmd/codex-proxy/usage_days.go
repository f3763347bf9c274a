package main

import "time"

// dayRange turns the days that a person gave into [from, to). Without any it is
// the current month so far; without the last it is the first one alone.
func dayRange(first, last string, zone *time.Location, now time.Time) (from, to time.Time, err error) {
	year, month, date := now.In(zone).Date()
	begin := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC) // dates, of no time zone yet
	end := time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
	if first != "" {
		if last == "" {
			last = first
		}
		if begin, err = time.Parse(time.DateOnly, first); err != nil {
			return from, to, misuse("%q is no day: write it as 2026-02-16", first)
		}
		if end, err = time.Parse(time.DateOnly, last); err != nil {
			return from, to, misuse("%q is no day: write it as 2026-02-16", last)
		}
	}
	if end.Before(begin) {
		return from, to, misuse("the last day, %s, is before the first, %s", last, first)
	}
	return startOfDay(begin, zone), startOfDay(end.AddDate(0, 0, 1), zone), nil
}

// startOfDay is the first moment of the date that day shows, in a time zone.
func startOfDay(day time.Time, zone *time.Location) time.Time {
	year, month, date := day.Date()
	start := time.Date(year, month, date, 0, 0, 0, 0, zone)
	if start.Day() != date { // the clock skips midnight here, and the day begins at one
		start = start.Add(time.Hour)
	}
	return start
}

// lastDay is the last day before to, an end that is exclusive.
func lastDay(to time.Time, zone *time.Location) string {
	return to.Add(-time.Nanosecond).In(zone).Format(time.DateOnly)
}
