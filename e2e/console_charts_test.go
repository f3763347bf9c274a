package e2e

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/simulated"
	"codex-proxy/internal/sqlite"
)

// counted is a directory of data whose ledger has these exchanges.
func counted(t *testing.T, exchanges []exchange.Exchange) (data string) {
	t.Helper()
	data = t.TempDir()
	ledger, err := sqlite.OpenLedger(t.Context(), filepath.Join(data, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = ledger.Rebuild(t.Context(), func(yield func(exchange.Exchange, error) bool) {
		for _, e := range exchanges {
			if !yield(e, nil) {
				return
			}
		}
	})
	if err == nil {
		err = ledger.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// plot is where the area of a chart is in the window, in pixels.
type plot struct{ X, Y, Width, Height float64 }

// plot scrolls to a chart and returns where its area is.
func (b *browser) plot(chart string) (area plot) {
	b.t.Helper()
	b.js(fmt.Sprintf(`(over => { over.scrollIntoView({block: "center", behavior: "instant"}); const r = over.getBoundingClientRect(); return {X: r.x, Y: r.y, Width: r.width, Height: r.height} })(document.querySelector("figure[data-chart=%s] .u-over"))`, chart), &area)
	return area
}

// bar is a point in a chart: within its nth bar of many, at a part of the chart's
// height from below.
func (p plot) bar(n, many int, height float64) (x, y float64) {
	return p.X + p.Width*(float64(n)+0.6)/(float64(many)+0.2), p.Y + p.Height*(1-height)
}

// hover moves the mouse to a point and returns what the chart says of it, line by
// line.
func (b *browser) hover(chart string, x, y float64) (lines []string) {
	b.t.Helper()
	b.do(input.DispatchMouseEvent(input.MouseMoved, x-3, y), input.DispatchMouseEvent(input.MouseMoved, x, y))
	b.until("the chart says something", fmt.Sprintf(`!document.querySelector("figure[data-chart=%s] .tip").hidden`, chart))
	b.js(fmt.Sprintf(`[...document.querySelector("figure[data-chart=%s] .tip").children].map(row => [...row.querySelectorAll("span")].map(e => e.textContent).join(": ") || row.textContent)`, chart), &lines)
	return lines
}

// TestChartsSayWhatIsUnderThePointerAndNarrowToIt is over a ledger whose numbers are
// known: a hundred dollars a day of the team core, whose developers are alice (80) and
// bob (20), ten of the team web, and half of everything in the week before.
func TestChartsSayWhatIsUnderThePointerAndNarrowToIt(t *testing.T) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	var exchanges []exchange.Exchange
	for day := 1; day <= 14; day++ {
		at := today.AddDate(0, 0, -day).Add(10 * time.Hour)
		for i, one := range []struct {
			developer, team, model string
			dollars                int64
		}{{"alice@example.com", "core", "gpt-5.1-codex", 80}, {"bob@example.com", "core", "gpt-5.2", 20}, {"carol@example.com", "web", "gpt-5.2", 10}} {
			if day > 7 {
				one.dollars /= 2
			}
			e := exchange.Exchange{
				ID: exchange.NewID(at.Add(time.Duration(i) * time.Second)), Started: at, Ended: at.Add(time.Second), Developer: one.developer, Team: one.team,
				Model: one.model, Session: one.developer, Outcome: exchange.Completed, Status: 200, Transport: exchange.HTTP,
				Usage: exchange.Usage{State: exchange.UsageExact, Usage: openai.Usage{Input: 800, Output: 200, Total: 1000}},
				Cost:  exchange.Cost{State: exchange.CostPriced, Nanos: one.dollars * 1e9},
			}
			if one.team == "web" {
				e.Outcome, e.Status, e.ErrorOrigin = exchange.Failed, 500, exchange.OriginOpenAI
			}
			exchanges = append(exchanges, e)
		}
	}
	p := newProxyOn(t, counted(t, exchanges), simulated.Options{})
	b := newBrowser(t, p.address)
	b.look(1280, "light")
	b.signIn(p.administrator())
	week := url.Values{"from": {today.AddDate(0, 0, -7).Format(time.DateOnly)}, "to": {today.AddDate(0, 0, -1).Format(time.DateOnly)}}.Encode()
	third := today.AddDate(0, 0, -5).Format("Mon 2 Jan 2006")
	b.open("/console/overview?" + week)
	b.screenshot("charts")
	says := func(chart string, height float64, want ...string) {
		t.Helper()
		x, y := b.plot(chart).bar(2, 7, height)
		if got := b.hover(chart, x, y); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("the chart of %s says\n%s\nwant\n%s", chart, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	says("main", 0.05, third, "web: $10.00", "core: $100.00", "Total: $110.00", "The period before: $55.00")
	b.screenshot("charts-tip")
	var current string
	b.js(`document.querySelector(".tip .current").textContent`, &current)
	if current != "core$100.00" {
		t.Errorf("under the pointer is %q", current)
	}
	says("errors", 0.1, third, "OpenAI: 1", "Total: 1")

	// The period before is drawn as long as it is compared.
	drawn := func() (pixels int) {
		b.js(`(() => {
			const figure = document.querySelector("figure[data-chart=main]"), canvas = figure.querySelector("canvas")
			const [r, g, b] = getComputedStyle(figure).getPropertyValue("--before").trim().match(/[0-9a-f]{2}/gi).map(x => parseInt(x, 16))
			const outer = canvas.getBoundingClientRect(), inner = figure.querySelector(".u-over").getBoundingClientRect(), scale = canvas.width / outer.width
			const all = canvas.getContext("2d").getImageData((inner.x - outer.x) * scale, (inner.y - outer.y) * scale, inner.width * scale, (inner.height - 3) * scale).data
			let n = 0
			for (let i = 0; i < all.length; i += 4) if (Math.abs(all[i] - r) + Math.abs(all[i + 1] - g) + Math.abs(all[i + 2] - b) < 40) n++
			return n
		})()`, &pixels)
		return pixels
	}
	if b.count(".legend .before") != 1 || drawn() < 100 {
		t.Errorf("%d pixels are of the period before", drawn())
	}
	b.follow("a", "Do not compare")
	if b.count(".legend .before") != 0 || drawn() > 0 {
		t.Errorf("not compared, %d pixels are of the period before", drawn())
	}
	says("main", 0.05, third, "web: $10.00", "core: $100.00", "Total: $110.00")
	b.follow("a", "Compare with the period before")

	// The colours follow the theme without loading the page.
	const picture = `document.querySelector("figure[data-chart=main] canvas").toDataURL()`
	var light string
	b.js(picture, &light)
	b.do(chromedp.Click("#theme", chromedp.ByQuery))
	b.until("the chart is drawn anew", fmt.Sprintf("%s !== %q", picture, light))
	b.do(chromedp.Click("#theme", chromedp.ByQuery))

	// Clicking a bar narrows, level by level: team, developer, model.
	rows := func() (names []string) {
		b.js(`[...document.querySelectorAll("section.panel table:has(tfoot) tbody th")].map(e => e.innerText)`, &names)
		return names
	}
	click := func(height float64, narrowed string, want ...string) {
		t.Helper()
		x, y := b.plot("main").bar(2, 7, height)
		b.hover("main", x, y)
		b.leads("a click on a bar", chromedp.MouseClickXY(x, y), ".narrowed")
		var chips []string
		b.js(`[...document.querySelectorAll(".narrowed")].map(e => e.firstChild.textContent.trim())`, &chips)
		if strings.Join(chips, ", ") != narrowed || strings.Join(rows(), ", ") != strings.Join(want, ", ") {
			t.Errorf("a click leads to %q with the rows %q, want %q and %q", chips, rows(), narrowed, want)
		}
	}
	click(0.05, "team core", "alice@example.com", "bob@example.com")
	click(0.05, "developer alice@example.com, team core", "gpt-5.1-codex")
	click(0.05, "developer alice@example.com, team core, model gpt-5.1-codex", "core")
	says("main", 0.05, third, "core: $80.00", "Total: $80.00", "The period before: $40.00")
	b.press(".narrowed", "main") // shows all of the first again
	if n := b.count(".narrowed"); n != 2 {
		t.Errorf("after taking one condition away there are %d", n)
	}
	b.open("/console/overview?" + week)
	click(0.88, "team web", "carol@example.com") // the upper one of two

	b.open("/console/overview?" + week)
	for _, by := range []struct{ label, rows string }{
		{"Developer", "alice@example.com, bob@example.com, carol@example.com"}, {"Model", "gpt-5.1-codex, gpt-5.2"}, {"Team", "core, web"},
	} {
		b.follow("nav[aria-label='Group by'] a", by.label)
		var current string
		b.js(`document.querySelector("nav[aria-label='Group by'] [aria-current]").textContent`, &current)
		if got := strings.Join(rows(), ", "); got != by.rows || current != by.label {
			t.Errorf("by %s: %s (%s)", by.label, got, current)
		}
	}
	b.press(`.tiles a[href*="metric=tokens"]`, ".tiles .current")
	says("main", 0.05, third, "web: 1,000", "core: 2,000", "Total: 3,000", "The period before: 3,000")

	// Who sees no chart has its numbers in the table behind it.
	var table [][]string
	b.js(`[...document.querySelectorAll("section.panel details table tbody tr")].map(row => [...row.cells].map(cell => cell.innerText || cell.textContent))`, &table)
	if len(table) < 7 || table[2][0] != third || table[2][1] != "$110.00" || table[2][3] != "3,000" {
		t.Errorf("the table behind the chart: %q", table)
	}
}
