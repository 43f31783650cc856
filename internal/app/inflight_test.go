package app

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

func TestInFlight(t *testing.T) {
	tests := []struct {
		name   string
		before func(*inFlight)
		after  func(f *inFlight, cancel func()) // while somebody waits
		want   int64
	}{
		{"none", func(*inFlight) {}, func(*inFlight, func()) {}, 0},
		{"the last one ends", func(f *inFlight) { f.begin(); f.begin() }, func(f *inFlight, _ func()) { f.end(); f.end() }, 0},
		{"one is left", func(f *inFlight) { f.begin(); f.begin() }, func(f *inFlight, cancel func()) { f.end(); cancel() }, 1},
		{"it was empty before", func(f *inFlight) { f.begin(); f.end(); f.begin() }, func(_ *inFlight, cancel func()) { cancel() }, 1},
		{"another one begins", func(f *inFlight) { f.begin() }, func(f *inFlight, cancel func()) { f.begin(); f.end(); cancel() }, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				f := newInFlight()
				tt.before(f)
				left := make(chan int64, 1)
				go func() { left <- f.wait(ctx) }()
				synctest.Wait()
				tt.after(f, cancel)
				if got := <-left; got != tt.want {
					t.Errorf("%d requests were left, want %d", got, tt.want)
				}
			})
		})
	}
}

func TestInFlightOfMany(t *testing.T) {
	f := newInFlight()
	var all sync.WaitGroup
	f.begin()
	for range 8 {
		all.Go(func() {
			for range 1000 {
				f.begin()
				f.end()
			}
		})
	}
	all.Go(f.end)
	if left := f.wait(t.Context()); left != 0 {
		t.Errorf("%d were left", left)
	}
	all.Wait()
	if got := f.count(); got != 0 {
		t.Errorf("%d are in flight, want none", got)
	}
}
