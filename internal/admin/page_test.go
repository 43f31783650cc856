package admin_test

import (
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/admin"
)

func TestPageReadsAsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		golden(t, "page.html", body(full()))
		troubled := full()
		troubled.Ready = func() []string { return []string{"user-service: no endpoint yet"} }
		troubled.LastReload = func() admin.Reload {
			return admin.Reload{At: time.Now().Add(-time.Hour), Error: "gateway.yml:12: unknown key retires, did you mean retries?"}
		}
		golden(t, "troubled.html", body(troubled))
		fresh := admin.Config{Started: time.Now(), Level: new(slog.LevelVar), LastReload: func() admin.Reload { return admin.Reload{} }}
		golden(t, "fresh.html", body(fresh))
	})
}

// body returns the page without its style, which the golden files need not repeat.
func body(c admin.Config) string {
	page := ask(admin.New(c), http.MethodGet, "/", nil).Body.String()
	before, rest, _ := strings.Cut(page, "<style>")
	_, after, _ := strings.Cut(rest, "</style>")
	return before + "<style></style>" + after
}

func TestPageEscapesHostileNames(t *testing.T) {
	const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	c := full()
	c.Version = hostile
	c.Listeners = func() []string { return []string{hostile} }
	c.Ready = func() []string { return []string{hostile} }
	c.LastReload = func() admin.Reload { return admin.Reload{At: time.Now(), Error: hostile} }
	c.Services = func() []admin.Service {
		return []admin.Service{{Name: hostile, Policy: hostile, Mode: hostile, Error: hostile, Endpoints: []admin.Endpoint{
			{Address: hostile, Zone: hostile, State: hostile, Note: hostile, Breaker: hostile},
		}}}
	}
	page := ask(admin.New(c), http.MethodGet, "/", nil).Body.String()
	for _, tag := range []string{"<script", "<img"} {
		if strings.Contains(page, tag) {
			t.Errorf("the page has %s:\n%s", tag, page)
		}
	}
	if n := strings.Count(page, "&lt;script&gt;"); n != 13 {
		t.Errorf("hostile text is shown %d times, want 13", n)
	}
}

// The page loads nothing, and its policy admits its own style and nothing else.
func TestPageStandsAlone(t *testing.T) {
	w := ask(admin.New(full()), http.MethodGet, "/", nil)
	page := w.Body.String()
	for _, reference := range []string{"src=", "@import", "url(", "<link", "<script", "style=\"", "http://", "https://"} {
		if strings.Contains(page, reference) {
			t.Errorf("the page refers to something by %q", reference)
		}
	}
	_, rest, _ := strings.Cut(page, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	if policy := w.Header().Get("Content-Security-Policy"); !strings.HasSuffix(policy, "; "+want) || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy = %q, want %q in it", policy, want)
	}
}

func TestPageLeavesTheServicesOrderAlone(t *testing.T) {
	shared := example()
	c := full()
	c.Services = func() []admin.Service { return shared }
	ask(admin.New(c), http.MethodGet, "/", nil)
	if shared[0].Name != "order-service" || shared[2].Endpoints != nil {
		t.Errorf("the services were changed: %v", shared)
	}
}

func TestPageTellsTimesAndNumbersShortly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := []struct {
			up   time.Duration
			want string
		}{
			{-time.Second, "0s"}, {0, "0s"}, {59 * time.Second, "59s"}, {61 * time.Second, "1m 1s"},
			{2*time.Hour + 3*time.Minute, "2h 3m"}, {49 * time.Hour, "2d 1h"},
		}
		for _, tt := range tests {
			got := body(admin.Config{Started: time.Now().Add(-tt.up)})
			if !strings.Contains(got, "<dd>"+tt.want+"</dd>") {
				t.Errorf("up for %s: no %q in\n%s", tt.up, tt.want, got)
			}
		}
	})
}
