package discovery_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"outrider/discovery"
	"outrider/internal/mesh"
)

func TestMemoryFindsWhatIsRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m discovery.Memory
		m.Register("tea", mesh.Endpoint{ID: "b", Address: "127.0.0.1:2"})
		var got []string // the last set
		updates := 0
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- m.Watch(ctx, "tea", func(set []mesh.Endpoint) {
				updates++
				got = nil
				for _, e := range set {
					state := e.ID
					if e.Unhealthy {
						state += " ill: " + e.HealthNote
					}
					got = append(got, state)
				}
			})
		}()
		for _, step := range []struct {
			name string
			do   func()
			want []string
		}{
			{"what was there before", func() {}, []string{"b"}},
			{"one joins", func() { m.Register("tea", mesh.Endpoint{ID: "a"}) }, []string{"a", "b"}},
			{"one falls ill", func() { m.SetHealth("tea", "b", false, "no milk") }, []string{"a", "b ill: no milk"}},
			{"of another service", func() { m.Register("cake", mesh.Endpoint{ID: "c"}) }, []string{"a", "b ill: no milk"}},
			{"a stranger's health", func() { m.SetHealth("tea", "z", false, "") }, []string{"a", "b ill: no milk"}},
			{"it recovers", func() { m.SetHealth("tea", "b", true, "") }, []string{"a", "b"}},
			{"one is replaced, one leaves", func() {
				m.Register("tea", mesh.Endpoint{ID: "b", Unhealthy: true, HealthNote: "new"})
				m.Deregister("tea", "a")
			}, []string{"b ill: new"}},
			{"the last leaves", func() { m.Deregister("tea", "b") }, nil},
		} {
			step.do()
			synctest.Wait()
			if !slices.Equal(got, step.want) {
				t.Errorf("%s: %q, want %q", step.name, got, step.want)
			}
		}
		if updates < 7 {
			t.Errorf("%d updates", updates)
		}
		why := errors.New("enough")
		cancel(why)
		if err := <-ended; !errors.Is(err, why) {
			t.Errorf("Watch returned %v, want the cause", err)
		}
	})
}
