package mesh_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"outrider/internal/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newCall(t *testing.T) (*mesh.Call, *http.Request) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://orders/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	call := mesh.NewCall(req.Context())
	return call, call.Bind(req)
}

func TestStackMeetsLayersInTheOrderListed(t *testing.T) {
	var met []string
	layer := func(name string) mesh.Layer {
		return func(next http.RoundTripper) http.RoundTripper {
			return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
				met = append(met, name)
				return next.RoundTrip(req)
			})
		}
	}
	origin := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		met = append(met, "origin")
		return &http.Response{}, nil
	})
	_, req := newCall(t)
	if _, err := mesh.Stack(origin, layer("a"), nil, layer("b")).RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "origin"}; !slices.Equal(met, want) {
		t.Errorf("met %v, want %v", met, want)
	}
}

func TestFromFindsTheCallOfARequest(t *testing.T) {
	call, req := newCall(t)
	if got := mesh.From(req); got != call {
		t.Errorf("From = %p, want %p", got, call)
	}
	bare, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if got := mesh.From(bare); got != nil {
		t.Errorf("From of a request from elsewhere = %v, want nil", got)
	}
}

func TestOnEndRunsOnceInReverse(t *testing.T) {
	call, _ := newCall(t)
	var ran []int
	for i := range 3 {
		call.OnEnd(func(r mesh.Result) {
			if r.Status != 200 {
				t.Errorf("end %d got status %d, want 200", i, r.Status)
			}
			ran = append(ran, i)
		})
	}
	call.End(mesh.Result{Status: 200})
	call.End(mesh.Result{Status: 500})
	if want := []int{2, 1, 0}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	late := 0
	call.OnEnd(func(mesh.Result) { late++ })
	if late != 1 {
		t.Errorf("registered after the end: ran %d times, want 1", late)
	}
}

func TestUnwindEndsOnlyWhatTheAttemptRegistered(t *testing.T) {
	call, _ := newCall(t)
	var ran []string
	end := func(name string) func(mesh.Result) {
		return func(mesh.Result) { ran = append(ran, name) }
	}
	call.OnEnd(end("call"))
	mark := call.Mark()
	call.OnEnd(end("attempt 1"))
	call.Unwind(mark, mesh.Result{})
	if want := []string{"attempt 1"}; !slices.Equal(ran, want) {
		t.Fatalf("after Unwind ran %v, want %v", ran, want)
	}
	call.OnEnd(end("attempt 2"))
	call.End(mesh.Result{})
	if want := []string{"attempt 1", "attempt 2", "call"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	call.Unwind(mark, mesh.Result{}) // after the end there is nothing left to unwind
}

func TestDeadlineCancelsWithItsFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call, _ := newCall(t)
		late := &mesh.Fault{Kind: mesh.ResponseTimeout}
		call.SetDeadline(time.Now().Add(time.Second), late)
		call.SetDeadline(time.Now().Add(time.Minute), &mesh.Fault{Kind: mesh.Internal}) // later: the earlier holds
		start := time.Now()
		<-call.Context().Done()
		if got := time.Since(start); got != time.Second {
			t.Errorf("ended after %v, want 1s", got)
		}
		if got := context.Cause(call.Context()); !errors.Is(got, late) {
			t.Errorf("cause = %v, want %v", got, late)
		}
		call.End(mesh.Result{})
	})
}

func TestClearDeadlineLetsAStreamLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call, _ := newCall(t)
		ctx := call.Context()
		call.SetDeadline(time.Now().Add(time.Second), &mesh.Fault{Kind: mesh.ResponseTimeout})
		call.ClearDeadline()
		time.Sleep(time.Minute) // virtual
		if err := ctx.Err(); err != nil {
			t.Errorf("the stream was ended: %v", context.Cause(ctx))
		}
		if !call.Deadline().IsZero() {
			t.Errorf("deadline = %v, want none", call.Deadline())
		}
		call.End(mesh.Result{})
		if ctx.Err() == nil {
			t.Error("the context outlives its call")
		}
	})
}

func TestCancelBeforeTheContextIsMade(t *testing.T) {
	call, _ := newCall(t)
	first := errors.New("first")
	call.Cancel(first)
	call.Cancel(errors.New("second"))
	if got := context.Cause(call.Context()); !errors.Is(got, first) {
		t.Errorf("cause = %v, want %v", got, first)
	}
	call.End(mesh.Result{})
}

// Clause 2 of the lifetimes: what crosses to another goroutine shares nothing.
func TestDetachSharesNothing(t *testing.T) {
	call, req := newCall(t)
	req.Header.Set("A", "1")
	call.ID, call.Subject, call.Personal, call.Service = "id", "alice", true, "orders"
	call.Attempts = append(call.Attempts, mesh.Attempt{Endpoint: "x"})
	call.SetDeadline(time.Now().Add(time.Hour), &mesh.Fault{Kind: mesh.ResponseTimeout})
	ended := false
	call.OnEnd(func(mesh.Result) { ended = true })

	copied := mesh.Detach(context.Background(), req)
	other := mesh.From(copied)
	if other == call || other.ID != "id" || other.Subject != "alice" || !other.Personal || other.Service != "orders" {
		t.Errorf("the copy's call = %+v, want the facts in a call of its own", other)
	}
	if len(other.Attempts) != 0 || !other.Deadline().Equal(call.Deadline()) {
		t.Errorf("attempts %v, deadline %v: want none, and the original's", other.Attempts, other.Deadline())
	}
	copied.Header.Set("A", "2")
	copied.URL.Path = "/2"
	if req.Header.Get("A") != "1" || req.URL.Path != "/1" {
		t.Error("an edit of the copy reached the original")
	}
	other.End(mesh.Result{})
	if ended {
		t.Error("the end of the copy ended the original")
	}
	call.End(mesh.Result{})
	if err := copied.Context().Err(); err != nil {
		t.Errorf("the end of the original ended the copy: %v", err)
	}
}
