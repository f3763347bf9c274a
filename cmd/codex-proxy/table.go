package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"codex-proxy/internal/terminal"
)

// column is one column of a table that fits the terminal.
type column[Row any] struct {
	title string
	right bool
	// least is the narrowest that the column may become; 0 keeps it whole.
	least int
	cell  func(Row) string
	// narrow is the cell where the whole table would not fit the terminal; nil
	// when it is the same.
	narrow func(Row) string
	// spare leaves the column out where the table would not fit however narrow its
	// columns became, the last such column first.
	spare bool
}

// printColumns prints the rows aligned, as wide as they are, or as the terminal
// is where w is one.
func printColumns[Row any](w io.Writer, columns []column[Row], rows []Row) error {
	width, onTerminal := terminalWidth(w)
	if !onTerminal {
		width = 0
	}
	return writeTable(w, columns, rows, width)
}

// writeTable writes the rows aligned. A width other than 0 is that of the
// terminal: where the table does not fit, ids are shortened to their end (which
// show takes), the rest is shortened too, and what can be spared is left out.
func writeTable[Row any](w io.Writer, columns []column[Row], rows []Row, width int) error {
	cells, widths := tableCells(columns, rows)
	if width > 0 && total(widths) > width {
		columns = slices.Clone(columns)
		for i, column := range columns {
			if column.narrow != nil {
				columns[i].cell = column.narrow
				columns[i].title, _, _ = strings.Cut(column.title, " ")
			}
		}
		cells, widths = tableCells(columns, rows)
		for !fit(columns, widths, width) {
			spare := lastSpare(columns)
			if spare < 0 {
				break
			}
			columns = slices.Delete(columns, spare, spare+1)
			cells, widths = tableCells(columns, rows)
		}
	}
	for _, row := range cells {
		var line strings.Builder
		for i, cell := range row {
			cell = shorten(cell, widths[i])
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if columns[i].right {
				line.WriteString(gap + cell)
			} else {
				line.WriteString(cell + gap)
			}
			line.WriteString(columnGap)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

const columnGap = "  "

// tableCells returns the table's cells, titles first, and the columns' widths.
func tableCells[Row any](columns []column[Row], rows []Row) (cells [][]string, widths []int) {
	cells, widths = make([][]string, len(rows)+1), make([]int, len(columns))
	for i, column := range columns {
		cells[0] = append(cells[0], column.title)
		for n, row := range rows {
			cell := terminal.Safe(column.cell(row))
			if cell == "" {
				cell = "-"
			}
			cells[n+1] = append(cells[n+1], cell)
		}
		for _, row := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	return cells, widths
}

// fit makes columns narrower until a table of them is as wide as the terminal, and
// reports whether it is.
func fit[Row any](columns []column[Row], widths []int, width int) bool {
	for total(widths) > width {
		if !narrowWidest(columns, widths) {
			return false
		}
	}
	return true
}

// lastSpare is the last column that can be spared, or -1.
func lastSpare[Row any](columns []column[Row]) int {
	for i, column := range slices.Backward(columns) {
		if column.spare {
			return i
		}
	}
	return -1
}

// narrowWidest takes a character from the widest column that can spare one.
func narrowWidest[Row any](columns []column[Row], widths []int) bool {
	widest := -1
	for i, column := range columns {
		if column.least > 0 && widths[i] > column.least && (widest < 0 || widths[i] > widths[widest]) {
			widest = i
		}
	}
	if widest < 0 {
		return false
	}
	widths[widest]--
	return true
}

// total is how wide a table of such columns is.
func total(widths []int) int {
	sum := len(columnGap) * (len(widths) - 1)
	for _, width := range widths {
		sum += width
	}
	return sum
}
