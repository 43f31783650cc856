package why

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Answer is what is known of the requests with one ID.
type Answer struct {
	ID      string   `json:"request_id"`
	Cause   *Cause   `json:"cause,omitempty"` // of the first that failed; nil where none did
	Records []Record `json:"records"`
}

// Cause is why a request failed: what the hop says at which it truly did.
type Cause struct {
	Who     string `json:"who"` // the hop, for people
	Hop     string `json:"hop"`
	Status  int    `json:"status"`
	Code    string `json:"code,omitempty"` // empty where the service itself answered so
	Says    string `json:"says"`
	Because string `json:"because,omitempty"`
}

// NewAnswer returns the answer of these records, each with those of further hops in
// its place.
func NewAnswer(id string, records []Record) Answer {
	a := Answer{ID: id, Records: records}
	for i := range records {
		if a.Cause = records[i].cause(); a.Cause != nil {
			break
		}
	}
	if a.Records == nil {
		a.Records = []Record{}
	}
	return a
}

// failed reports whether the client was answered by a failure, or not whole.
func (r *Record) failed() bool {
	return r.Code != "" || r.Status >= http.StatusBadRequest
}

// cause returns why the request failed, nil where it did not. A fault is the cause
// itself: the hops below may tell of it only as a client that went away. A status that
// was passed on has its cause where it comes from.
func (r *Record) cause() *Cause {
	if !r.failed() {
		return nil
	}
	c := &Cause{Who: r.Who, Hop: r.Hop, Status: r.Status, Code: r.Code, Says: r.Error, Because: r.Because}
	if n := len(r.Attempts); n > 0 && r.Attempts[n-1].Next != nil {
		if below := r.Attempts[n-1].Next.cause(); below != nil && (r.Code == "" || later(r.Code, below.Code)) {
			return below
		}
	}
	if r.Code == "" {
		c.Says = r.origin()
		for i := range r.Calls { // an app that fails may have been failed
			if below := r.Calls[i].cause(); below != nil {
				below.Says = strings.TrimSuffix(below.Says, ".") + "; then " + c.Says
				return below
			}
		}
	}
	for _, act := range r.Acts {
		if strings.HasPrefix(act, "not repeated") {
			c.Says += "; " + act
		}
	}
	return c
}

// later reports whether a fault here is only what follows from one below: a connection
// that broke off because the hop there gave up.
func later(here, below string) bool {
	return below != "" && below != "client_gone" && (here == "reset" || here == "bad_response")
}

// origin says who answered where no proxy did.
func (r *Record) origin() string {
	who := "the service"
	if r.Direction == "inbound" {
		who = "the app"
	}
	if n := len(r.Attempts); n > 0 {
		return fmt.Sprintf("%s itself answered %d (%s, attempt %d)", who, r.Status, r.Attempts[n-1].Endpoint, n)
	}
	return fmt.Sprintf("answered %d without asking anybody", r.Status)
}

// Nest returns the records with each outbound one among the Calls of the inbound one
// during which it was made: of several the one that began last.
func Nest(records []Record) []Record {
	var tops, calls []Record
	for _, r := range records {
		if r.Direction == "outbound" {
			calls = append(calls, r)
		} else {
			tops = append(tops, r)
		}
	}
	for _, call := range calls {
		at := -1
		for i := range tops {
			if tops[i].Direction == "inbound" && tops[i].during(call.Start) && (at < 0 || tops[i].Start.After(tops[at].Start)) {
				at = i
			}
		}
		if at < 0 {
			tops = append(tops, call)
			continue
		}
		tops[at].Calls = append(tops[at].Calls, call)
	}
	slices.SortStableFunc(tops, func(a, b Record) int { return a.Start.Compare(b.Start) })
	return tops
}

// during reports whether t is while the request lasted.
func (r *Record) during(t time.Time) bool {
	end := r.Start.Add(time.Duration(r.DurationMS * float64(time.Millisecond)))
	return !t.Before(r.Start) && !t.After(end)
}
