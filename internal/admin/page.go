package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the page's template and style
	"encoding/base64"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// view is what the page shows.
type view struct {
	Style template.CSS

	Version    string
	Now        time.Time
	Started    time.Time
	Missing    []string // empty: ready
	Listeners  []string
	Level      string
	Reloadable bool
	Reload     Reload
	Services   []Service
	Links      []string
}

// page returns the handler of the status page: one document that loads nothing and
// runs no script, so that it works wherever the port can be reached.
func (p *port) page() http.Handler {
	tmpl := template.Must(template.New("page").Funcs(template.FuncMap{
		"age":     age,
		"ago":     ago,
		"count":   count,
		"latency": latency,
		"mood":    mood,
		"utc":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	}).Parse(pageHTML))
	sum := sha256.Sum256([]byte(pageCSS))
	policy := contentPolicy + "; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"

	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var page bytes.Buffer
		if err := tmpl.Execute(&page, p.view()); err != nil {
			p.cfg.Log.Error("the status page could not be made", slog.Any("error", err))
			problem(w, http.StatusInternalServerError, "The page could not be made; the log says why.")
			return
		}
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page.Bytes())
	})
}

func (p *port) view() view {
	v := view{
		Style:    template.CSS(pageCSS), //nolint:gosec // our own file
		Version:  p.cfg.Version,
		Now:      time.Now(),
		Started:  p.cfg.Started,
		Missing:  p.missing(),
		Services: p.sorted(),
		Links:    p.links(),
	}
	if p.cfg.Listeners != nil {
		v.Listeners = p.cfg.Listeners()
	}
	if p.cfg.Level != nil {
		v.Level = strings.ToLower(p.cfg.Level.Level().String())
	}
	if p.cfg.LastReload != nil {
		v.Reloadable, v.Reload = true, p.cfg.LastReload()
	}
	return v
}

// links returns the paths worth a click.
func (p *port) links() []string {
	links := []string{"/live", "/ready"}
	for _, l := range []struct {
		path  string
		there bool
	}{
		{"/metrics", p.cfg.Metrics != nil},
		{"/config", p.cfg.Config != nil},
		{"/services", p.cfg.Services != nil},
		{"/log-level", p.cfg.Level != nil},
		{"/debug/pprof/", true},
	} {
		if l.there {
			links = append(links, l.path)
		}
	}
	return links
}

// mood returns the style class of an endpoint's or a breaker's state, or of a mode.
// What it does not know is worth a look.
func mood(state string) string {
	switch state {
	case "healthy", "closed", "live":
		return "good"
	case "unhealthy", "ejected", "open", "snapshot", "probing", "waiting":
		return "bad"
	}
	return "fair"
}

// ago returns the time between then and now as span does.
func ago(then, now time.Time) string { return span(now.Sub(then)) }

// age returns seconds as span does.
func age(seconds float64) string { return span(time.Duration(seconds * float64(time.Second))) }

// span returns d in its two largest units: 3d 4h.
func span(d time.Duration) string {
	d = max(d, 0)
	seconds := int64(d / time.Second)
	days, hours, minutes := seconds/86400, seconds/3600%24, seconds/60%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd %dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh %dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm %ds", minutes, seconds%60)
	}
	return fmt.Sprintf("%ds", seconds)
}

// count groups n's digits by three: 1 234 567.
func count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteRune('\u202f') // narrow, and no line breaks at it
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// latency returns ms with as many digits as mean something, and a dash for none.
func latency(ms float64) string {
	switch {
	case ms <= 0:
		return "–"
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}
