package app

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"outrider/discovery"
	"outrider/internal/config"
	"outrider/outbound"
)

func TestShelf(t *testing.T) {
	made := func(thing string) func() (string, error) { return func() (string, error) { return thing, nil } }
	failed := func() (string, error) { return "half", errors.New("cannot be made") }
	tests := []struct {
		name       string
		have, last shelf[string]
		produce    func() (string, error)
		want       string
		fails      bool
	}{
		{"there already", shelf[string]{"key": "ours"}, shelf[string]{"key": "last"}, failed, "ours", false},
		{"from the last generation", shelf[string]{}, shelf[string]{"key": "last"}, failed, "last", false},
		{"anew", shelf[string]{}, shelf[string]{"other": "last"}, made("new"), "new", false},
		{"anew, in the first generation", shelf[string]{}, nil, made("new"), "new", false},
		{"what cannot be made", shelf[string]{}, nil, failed, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.have.take(tt.last, "key", tt.produce)
			if (err != nil) != tt.fails {
				t.Fatalf("error %v", err)
			}
			kept, ok := tt.have["key"]
			if ok == tt.fails || kept != tt.want || !tt.fails && got != tt.want {
				t.Errorf("got %q and kept %q, want %q", got, kept, tt.want)
			}
		})
	}
}

// Two things with one key are one thing: every setting must tell, and where it stands
// in the file must not.
func TestKeysTellEverySettingApart(t *testing.T) {
	service := func() any {
		s := config.DefaultService()
		s.Instances = []config.Endpoint{{URL: "http://a"}}
		s.HealthCheck = &config.HealthCheck{Expect: []config.StatusRange{{From: 200, To: 299}}}
		s.CircuitBreaker = &config.Breaker{}
		s.Outlier = &config.Outlier{}
		s.TLS = &config.ClientTLS{}
		s.Consul = &config.ConsulService{}
		return s
	}
	tests := []struct {
		name string
		of   func() any
	}{
		{"service", service},
		{"auth", func() any { return &config.Auth{Headers: map[string]string{"id": "X-User-Id"}} }},
		{"server.tls", func() any { return &config.ServerTLS{Certs: []config.CertFiles{{}}} }},
		{"all", func() any { c := config.Defaults(); c.Server.TLS = &config.ServerTLS{}; return c }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plain := keyOf(tt.of())
			if again := keyOf(tt.of()); again != plain {
				t.Fatalf("the same settings have two keys:\n%s\n%s", plain, again)
			}
			leaves := 0
			for i := 0; ; i++ {
				changed := tt.of()
				path, found := changeLeaf(reflect.ValueOf(changed).Elem(), i)
				if !found {
					break
				}
				leaves++
				if same := keyOf(changed) == plain; same != (path == "Line") {
					t.Errorf("%s: the same key: %t", path, same)
				}
			}
			if leaves < 3 {
				t.Errorf("only %d settings were changed", leaves)
			}
		})
	}
}

// changeLeaf changes the nth plain value below v, and returns its name.
func changeLeaf(v reflect.Value, n int) (name string, found bool) {
	left := n
	var walk func(v reflect.Value, name string) bool
	walk = func(v reflect.Value, as string) bool {
		switch v.Kind() {
		case reflect.Pointer:
			return !v.IsNil() && walk(v.Elem(), as)
		case reflect.Struct:
			for i := range v.NumField() {
				if field := v.Type().Field(i); field.IsExported() && walk(v.Field(i), field.Name) {
					return true
				}
			}
			return false
		case reflect.Slice:
			for i := range v.Len() {
				if walk(v.Index(i), as) {
					return true
				}
			}
			return false
		}
		if left--; left >= 0 {
			return false
		}
		name = as
		switch v.Kind() {
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int, reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Float64:
			v.SetFloat(v.Float() + 1)
		case reflect.Map:
			changed := reflect.MakeMap(v.Type())
			for _, key := range v.MapKeys() {
				changed.SetMapIndex(key, v.MapIndex(key))
			}
			changed.SetMapIndex(reflect.ValueOf("x"), reflect.Zero(v.Type().Elem()))
			v.Set(changed)
		default:
			panic("a kind of setting that the test cannot change: " + v.Kind().String())
		}
		return true
	}
	return name, walk(v, "")
}

// unresolved is a service that nobody runs: its endpoints are never known.
func unresolved(t *testing.T, name string) *service {
	t.Helper()
	s, err := outbound.NewService(outbound.Config{Name: "orders", Resolver: discovery.Static{}})
	if err != nil {
		t.Fatal(err)
	}
	return &service{Service: s, name: name}
}

func TestSettleWaitsForEndpointsAndNotForEver(t *testing.T) {
	tests := []struct {
		name   string
		cancel time.Duration // of the context; zero is never
		ready  bool
		want   time.Duration
	}{
		{"all are known", 0, true, 0},
		{"some are not", 0, false, 5 * time.Second},
		{"it ends before", time.Second, false, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s := unresolved(t, "orders")
				g := &generation{services: shelf[*service]{"a": s}}
				if tt.ready {
					go func() { _ = s.Run(ctx) }()
				}
				if tt.cancel > 0 {
					time.AfterFunc(tt.cancel, cancel)
				}
				began := time.Now()
				g.settle(ctx, nil)
				if got := time.Since(began); got != tt.want {
					t.Errorf("waited %v, want %v", got, tt.want)
				}
				if got := len(g.missing()); got > 0 == tt.ready {
					t.Errorf("%d services are missing", got)
				}
			})
		})
	}
}

// What a reload replaces the app by has been asked how it is, before it counts.
func TestSettleWaitsForAnotherApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &service{state: &appState{answered: make(chan struct{})}}
		g := &generation{app: app}
		waited := func(last *generation) time.Duration {
			began := time.Now()
			g.settle(t.Context(), last)
			return time.Since(began)
		}
		if got := waited(nil); got != 0 {
			t.Errorf("at the start, when it may have yet to be started: waited %v", got)
		}
		if got := waited(&generation{app: app}); got != 0 {
			t.Errorf("for the app that was there: waited %v", got)
		}
		if got := waited(&generation{app: &service{}}); got != settling {
			t.Errorf("for one that does not answer: waited %v, want %v", got, settling)
		}
		time.AfterFunc(time.Second, func() { close(app.state.answered) })
		if got := waited(&generation{app: &service{}}); got != time.Second {
			t.Errorf("for one that answers: waited %v, want a second", got)
		}
	})
}

// What another generation has goes on.
func TestEndOfAGeneration(t *testing.T) {
	stopped := map[string]bool{}
	named := func(name string) *service { return &service{name: name, stop: func() { stopped[name] = true }} }
	shared, own := named("shared"), named("own")
	kept, closed := &finder{known: map[string]*found{}}, &finder{known: map[string]*found{}}
	g := &generation{
		services: shelf[*service]{"s": shared, "o": own},
		finders:  shelf[*finder]{"s": kept, "o": closed},
	}
	g.end(&generation{services: shelf[*service]{"s": shared}, finders: shelf[*finder]{"s": kept}})
	if !stopped["own"] || stopped["shared"] || kept.known == nil || closed.known != nil {
		t.Errorf("stopped %v, finders %v and %v", stopped, kept.known, closed.known)
	}
	g.end(&generation{})
	if !stopped["shared"] || kept.known != nil {
		t.Error("what nobody else has goes on")
	}
}

func TestMissingIsInOrder(t *testing.T) {
	g := &generation{services: shelf[*service]{"1": unresolved(t, "users"), "2": unresolved(t, "auth"), "3": unresolved(t, "orders")}}
	want := []string{
		"service auth: no endpoints looked up yet",
		"service orders: no endpoints looked up yet",
		"service users: no endpoints looked up yet",
	}
	for range 10 { // a map's order changes
		if got := g.missing(); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// A generation is waited for with those before it, as long as the context allows.
func TestWaitForAGenerationAndThoseBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := make(chan struct{})
		g := &generation{inFlight: newInFlight(), before: before}
		wait := func(ctx context.Context) <-chan struct{} {
			done := make(chan struct{})
			go func() { defer close(done); g.wait(ctx) }()
			synctest.Wait()
			return done
		}
		waiting := func(what string, done <-chan struct{}) {
			t.Helper()
			synctest.Wait()
			select {
			case <-done:
				t.Errorf("%s, and it was not waited for", what)
			default:
			}
		}
		g.inFlight.begin()
		ctx, cancel := context.WithCancel(t.Context())
		given := wait(ctx)
		waiting("a request is left", given)
		cancel()
		<-given

		done := wait(t.Context())
		g.inFlight.end()
		waiting("a generation before has requests", done)
		close(before)
		<-done
	})
}
