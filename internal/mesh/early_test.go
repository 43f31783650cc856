package mesh_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
)

// waiter counts how often it was interrupted.
type waiter struct{ interrupted int }

func (w *waiter) Interrupt() { w.interrupted++ }

// renewed returns the Call of a connection's second request.
func renewed(base context.Context, t *testing.T) *mesh.Call {
	t.Helper()
	call := mesh.NewCall(base)
	call.End(mesh.Result{})
	if !call.Renew(base) {
		t.Fatal("a call without a context was not renewed")
	}
	return call
}

func TestCancelInterruptsWhoAttends(t *testing.T) {
	call, w := renewed(t.Context(), t), &waiter{}
	if cause := call.Attend(w); cause != nil {
		t.Fatalf("Attend returned %v for a call that goes on", cause)
	}
	late := &mesh.Fault{Kind: mesh.Draining}
	call.Cancel(late)
	if w.interrupted != 1 {
		t.Errorf("interrupted %d times, want once", w.interrupted)
	}
	if cause := call.Cause(); !errors.Is(cause, late) {
		t.Errorf("the cause is %v, want %v", cause, late)
	}
	call.Dismiss()
	call.Cancel(context.Canceled)
	if w.interrupted != 1 {
		t.Error("interrupted after Dismiss")
	}
	if cause := call.Attend(w); !errors.Is(cause, late) {
		t.Errorf("Attend returned %v after the end, want %v", cause, late)
	}
}

// A call that was not renewed follows its connection or stream by itself.
func TestTheEndOfTheStreamInterruptsWhoAttends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, end := context.WithCancelCause(t.Context())
		call, w := mesh.NewCall(base), &waiter{}
		if err := call.Attend(w); err != nil {
			t.Fatal(err)
		}
		gone := &mesh.Fault{Kind: mesh.ClientGone}
		end(gone)
		synctest.Wait()
		if w.interrupted != 1 || !errors.Is(call.Cause(), gone) {
			t.Errorf("interrupted %d times because of %v, want once because of %v", w.interrupted, call.Cause(), gone)
		}
		if cause := call.Attend(w); !errors.Is(cause, gone) {
			t.Errorf("Attend returned %v after the end, want %v", cause, gone)
		}
		call.End(mesh.Result{})
	})
}

func TestDueIsTheEarlier(t *testing.T) {
	start := time.Unix(1000, 0)
	whole, try := &mesh.Fault{Kind: mesh.ResponseTimeout}, &mesh.Fault{Kind: mesh.PerTryTimeout}
	tests := []struct {
		name       string
		whole, try time.Duration // zero: none
		want       time.Duration
		late       *mesh.Fault
	}{
		{"none", 0, 0, 0, nil},
		{"the call's alone", 2, 0, 2, whole},
		{"the attempt's alone", 0, 3, 3, try},
		{"the attempt's first", 2, 1, 1, try},
		{"the call's first", 1, 2, 1, whole},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			call := mesh.NewCall(t.Context())
			if tt.whole > 0 {
				call.SetDeadline(start.Add(tt.whole), whole)
			}
			if tt.try > 0 {
				call.Try(start.Add(tt.try), try)
			}
			at, late := call.Due()
			if want := start.Add(tt.want); late != tt.late || tt.want > 0 && !at.Equal(want) || tt.want == 0 && !at.IsZero() {
				t.Errorf("Due = %v, %v, want %v, %v", at, late, want, tt.late)
			}
			call.Try(time.Time{}, nil)
			if at, _ := call.Due(); at != call.Deadline() {
				t.Errorf("without the attempt's Due = %v, want the call's %v", at, call.Deadline())
			}
		})
	}
}

// What one request left behind is nothing to the next.
func TestRenewForgets(t *testing.T) {
	call, w := mesh.NewCall(t.Context()), &waiter{}
	call.ID, call.Trusted, call.Acts, call.Subject = "1", true, mesh.CacheHit, "ann"
	call.Attempts = append(call.Attempts, mesh.Attempt{Endpoint: "a"})
	call.SetDeadline(time.Unix(1000, 0), &mesh.Fault{})
	call.Try(time.Unix(1000, 0), &mesh.Fault{})
	told := 0
	call.OnEnd(func(mesh.Result) { told++ })
	if err := call.Attend(w); err != nil {
		t.Fatal(err)
	}
	call.End(mesh.Result{})
	if call.Renew(t.Context()) {
		t.Fatal("a call whose context is watched was renewed")
	}

	call = renewed(t.Context(), t)
	call.ID, call.Trusted, call.Acts, call.Subject = "1", true, mesh.CacheHit, "ann"
	call.Attempts = append(call.Attempts, mesh.Attempt{Endpoint: "a"})
	call.SetDeadline(time.Unix(1000, 0), &mesh.Fault{})
	call.OnEnd(func(mesh.Result) { told++ })
	kept := call.List("x")
	if err := call.Attend(w); err != nil {
		t.Fatal(err)
	}
	call.Cancel(context.Canceled)
	call.End(mesh.Result{})
	if !call.Renew(t.Context()) {
		t.Fatal("not renewed")
	}
	call.End(mesh.Result{})
	at, _ := call.Due()
	switch {
	case told != 2:
		t.Errorf("told %d ends, want 2", told)
	case call.ID != "" || call.Trusted || call.Acts != 0 || call.Subject != "" || len(call.Attempts) != 0:
		t.Errorf("something is left: %+v", call.Attempts)
	case !at.IsZero() || call.Cause() != nil:
		t.Errorf("it is due at %v and has ended by %v", at, call.Cause())
	case kept[0] != "":
		t.Error("a list outlives its request")
	}
}

func TestRenewWithAContext(t *testing.T) {
	call := renewed(t.Context(), t)
	ctx := call.Context()
	call.End(mesh.Result{})
	if call.Renew(t.Context()) {
		t.Error("a call whose context somebody has was renewed")
	}
	if ctx.Err() == nil {
		t.Error("the context outlives the call")
	}
}

func TestListsStayApart(t *testing.T) {
	call := renewed(t.Context(), t)
	header := http.Header{}
	for _, v := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"} {
		header[v] = call.List(v)
		header[v] = append(header[v], "more") // moves away
	}
	for name, values := range header {
		if values[0] != name || values[1] != "more" {
			t.Errorf("%s has %q", name, values)
		}
	}
}

// A request that meets no wait costs its call nothing.
func TestCallAllocates(t *testing.T) {
	base := t.Context()
	call, w, late := renewed(base, t), &waiter{}, &mesh.Fault{}
	at := time.Unix(1000, 0)
	got := testing.AllocsPerRun(100, func() {
		call.SetDeadline(at, late)
		call.Attempts = append(call.Attempts, mesh.Attempt{})
		call.AtEnd(ender{})
		_ = call.List("x")
		_ = call.Attend(w)
		call.Dismiss()
		call.End(mesh.Result{})
		call.Renew(base)
	})
	if got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

type ender struct{}

func (ender) End(mesh.Result) {}
