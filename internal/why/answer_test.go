package why_test

import (
	"strings"
	"testing"
	"time"

	"outrider/internal/why"
)

// at is a record with one attempt, whose next hop is next.
func at(who string, status int, code string, next *why.Record) why.Record {
	r := why.Record{Who: who, Direction: strings.Fields(who)[0], Status: status, Code: code, Error: code, Because: "line of " + who}
	r.Attempts = []why.Attempt{{Endpoint: "10.0.0.1:80", Status: status, Next: next}}
	return r
}

func TestTheTrueCause(t *testing.T) {
	slow := at("inbound of b", 504, "response_timeout", nil)
	gone := at("inbound of b", 499, "client_gone", nil)
	reset := at("inbound of b", 502, "reset", nil)
	fails := at("inbound of b", 500, "", nil)
	failed := at("inbound of b", 500, "", nil)
	failed.Calls = []why.Record{at("outbound of b", 503, "no_endpoints", nil)}
	well := at("inbound of b", 200, "", nil)
	for _, tt := range []struct {
		name      string
		top       why.Record
		who, code string
		says      string
	}{
		{"nothing failed", at("ingress", 200, "", &well), "", "", ""},
		{"its own fault", at("ingress", 429, "limited", nil), "ingress", "limited", "limited"},
		{"a status that was passed on", at("ingress", 504, "", &slow), "inbound of b", "response_timeout", "response_timeout"},
		{"who gave up, not who was left", at("ingress", 504, "response_timeout", &gone), "ingress", "response_timeout", "response_timeout"},
		{"a connection that broke because of the next hop", at("ingress", 502, "reset", &slow), "inbound of b", "response_timeout", "response_timeout"},
		{"its own deadline, though the next hop failed", at("ingress", 504, "response_timeout", &reset), "ingress", "response_timeout", "response_timeout"},
		{"the app", at("ingress", 500, "", &fails), "inbound of b", "", "the app itself answered 500 (10.0.0.1:80, attempt 1)"},
		{"what the app called", at("ingress", 500, "", &failed), "outbound of b", "no_endpoints", "no_endpoints; then the app itself answered 500 (10.0.0.1:80, attempt 1)"},
		{"a service without a proxy", at("ingress", 500, "", nil), "ingress", "", "the service itself answered 500 (10.0.0.1:80, attempt 1)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := why.NewAnswer("id", []why.Record{tt.top})
			if tt.who == "" {
				if a.Cause != nil || !strings.HasPrefix(a.Text(), "request id did not fail") {
					t.Errorf("cause %+v", a.Cause)
				}
				return
			}
			if a.Cause == nil || a.Cause.Who != tt.who || a.Cause.Code != tt.code || a.Cause.Says != tt.says {
				t.Errorf("cause %+v", a.Cause)
			}
		})
	}
}

// An outbound call belongs to the request during which it was made, of several to the
// one that began last.
func TestNest(t *testing.T) {
	epoch := time.Unix(1000, 0)
	record := func(direction, path string, from, ms int) why.Record {
		return why.Record{Direction: direction, Path: path, Start: epoch.Add(time.Duration(from) * time.Millisecond), DurationMS: float64(ms)}
	}
	tops := why.Nest([]why.Record{
		record("inbound", "/outer", 0, 100), record("inbound", "/inner", 20, 10),
		record("outbound", "/of-outer", 10, 60), record("outbound", "/of-inner", 25, 2), record("outbound", "/of-nobody", 500, 1),
	})
	var got []string
	for _, top := range tops {
		line := top.Path
		for _, call := range top.Calls {
			line += " " + call.Path
		}
		got = append(got, line)
	}
	if want := "/outer /of-outer, /inner /of-inner, /of-nobody"; strings.Join(got, ", ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestNothingIsKnown(t *testing.T) {
	a := why.NewAnswer("id", nil)
	if a.Records == nil || !strings.Contains(a.Text(), "nothing is known of request id") {
		t.Errorf("%+v %s", a, a.Text())
	}
}
