package consul_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"

	"outrider/discovery/consul"
)

func TestRegistrationSaysAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		defer g.stop()
		got := a.last("register")
		want := api.AgentServiceRegistration{
			ID: "o1", Name: "orders", Address: "10.0.0.7", Port: 15006, Tags: []string{"v2", "blue"},
			Meta: map[string]string{"version": "2", "zone": "b"}, Weights: &api.AgentWeights{Passing: 3, Warning: 1},
			Check: &api.AgentServiceCheck{
				CheckID: "service:o1", Name: "app and sidecar", TTL: "15s", Status: "passing",
				Notes: "a heartbeat of the sidecar, for the app and itself", DeregisterCriticalServiceAfter: "10m0s",
			},
		}
		if g, w := fmt.Sprintf("%+v %+v %+v", got.body, *got.body.Weights, *got.body.Check), fmt.Sprintf("%+v %+v %+v", want, *want.Weights, *want.Check); stripPointers(g) != stripPointers(w) {
			t.Errorf("got  %s\nwant %s", g, w)
		}
		if strings.Contains(got.query, "replace") {
			t.Errorf("query %q: replacing checks ends an operator's maintenance mode", got.query)
		}
	})
}

// stripPointers removes the addresses that %+v prints.
func stripPointers(s string) string {
	words := strings.Fields(s)
	words = slices.DeleteFunc(words, func(w string) bool { return strings.Contains(w, "0x") })
	return strings.Join(words, " ")
}

func TestRegistrationIsTheRegistrars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r := newRegistry(), orders()
		g := run(t, a, consul.Config{}, r)
		defer g.stop()
		if _, ok := r.Meta["zone"]; ok {
			t.Error("the caller's meta has been written to")
		}
		r.Tags[0], r.Meta["version"] = "v3", "3"
		a.wipe()
		pass(6 * time.Second)
		if got := a.last("register").body; got.Tags[0] != "v2" || got.Meta["version"] != "2" {
			t.Errorf("got tags %v, meta %v: what the caller did later counts", got.Tags, got.Meta)
		}
	})
}

func TestRegistrationOfAnUnhealthyApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		g.stop()
		g.become(false, "the app does not listen yet")
		a = newRegistry()
		c, err := consul.New(consul.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Speak(a); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r, err := c.Registrar(orders(), g.health)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := contextOf(t)
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		if got := a.last("register").body.Check.Status; got != "critical" {
			t.Errorf("registered as %s, want critical: nobody may be sent to it yet", got)
		}
		if status, output := a.state(); status != "critical" || output != "the app does not listen yet" {
			t.Errorf("got %s, %q", status, output)
		}
		cancel()
		<-ended
	})
}

func TestRegistrationIsChecked(t *testing.T) {
	many := map[string]string{}
	for i := range 64 {
		many[fmt.Sprint("k", i)] = ""
	}
	tests := []struct {
		name   string
		change func(*consul.Registration)
		want   string // empty: it is taken
	}{
		{"as it is", func(*consul.Registration) {}, ""},
		{"no name", func(r *consul.Registration) { r.Name = "" }, "service.name: missing"},
		{"no id", func(r *consul.Registration) { r.ID = "" }, "service.id: missing"},
		{"id is a path", func(r *consul.Registration) { r.ID = "a/b" }, `service.id "a/b"`},
		{"id is dots", func(r *consul.Registration) { r.ID = ".." }, `service.id ".."`},
		{"name with a newline", func(r *consul.Registration) { r.Name = "a\nb" }, `service.name "a\nb"`},
		{"id of an IPv6 host", func(r *consul.Registration) { r.ID = "orders-[::1]-15006?#%" }, ""},
		{"long id", func(r *consul.Registration) { r.ID = strings.Repeat("x", 256) }, "service.id: 256 bytes"},
		{"the node's address", func(r *consul.Registration) { r.Address = "" }, ""},
		{"a name's address", func(r *consul.Registration) { r.Address = "web1.internal" }, ""},
		{"any address", func(r *consul.Registration) { r.Address = "0.0.0.0" }, "service.address 0.0.0.0"},
		{"any IPv6 address", func(r *consul.Registration) { r.Address = "::" }, "service.address ::"},
		{"port 0", func(r *consul.Registration) { r.Port = 0 }, "port 0"},
		{"port 65535", func(r *consul.Registration) { r.Port = 65535 }, ""},
		{"port 65536", func(r *consul.Registration) { r.Port = 65536 }, "port 65536"},
		{"weight 0", func(r *consul.Registration) { r.Weight = 0 }, "service.weight 0"},
		{"weight 65535", func(r *consul.Registration) { r.Weight = 65535 }, ""},
		{"weight 65536", func(r *consul.Registration) { r.Weight = 65536 }, "service.weight 65536"},
		{"no meta", func(r *consul.Registration) { r.Meta = nil }, ""},
		{"neither meta nor zone", func(r *consul.Registration) { r.Meta, r.Zone = nil, "" }, ""},
		{"64 pairs", func(r *consul.Registration) { r.Meta, r.Zone = many, "" }, ""},
		{"64 pairs and a zone", func(r *consul.Registration) { r.Meta = many }, "65 pairs"},
		{"the zone twice", func(r *consul.Registration) { r.Meta["zone"] = "b" }, ""},
		{"two zones", func(r *consul.Registration) { r.Meta["zone"] = "a" }, `service.zone is "b"`},
		{"blank key", func(r *consul.Registration) { r.Meta[""] = "" }, `key ""`},
		{"key with a dot", func(r *consul.Registration) { r.Meta["a.b"] = "" }, `key "a.b"`},
		{"key ends in a newline", func(r *consul.Registration) { r.Meta["a\n"] = "" }, `key "a\n"`},
		{"reserved key", func(r *consul.Registration) { r.Meta["consul-x"] = "" }, "consul-x"},
		{"key of 128", func(r *consul.Registration) { r.Meta[strings.Repeat("k", 128)] = "" }, ""},
		{"key of 129", func(r *consul.Registration) { r.Meta[strings.Repeat("k", 129)] = "" }, "128 bytes"},
		{"value of 512", func(r *consul.Registration) { r.Meta["v"] = strings.Repeat("v", 512) }, ""},
		{"value of 513", func(r *consul.Registration) { r.Meta["v"] = strings.Repeat("v", 513) }, "service.meta.v"},
		{"long zone", func(r *consul.Registration) { r.Zone = strings.Repeat("z", 513) }, "service.meta.zone"},
		{"short ttl", func(r *consul.Registration) { r.CheckTTL = 2 * time.Second }, "check ttl 2s"},
		{"negative ttl", func(r *consul.Registration) { r.CheckTTL = -1 }, "check ttl -1ns"},
		{"deregistered too soon", func(r *consul.Registration) { r.DeregisterAfter = 59 * time.Second }, "deregister after 59s"},
		{"deregistered after a minute", func(r *consul.Registration) { r.DeregisterAfter = time.Minute }, ""},
	}
	c, err := consul.New(consul.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := orders()
			r.Meta = maps.Clone(r.Meta)
			tt.change(&r)
			_, err := c.Registrar(r, nil)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRegistrationFaultsComeTogether(t *testing.T) {
	c, err := consul.New(consul.Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Registrar(consul.Registration{Meta: map[string]string{"a b": ""}}, nil)
	for _, want := range []string{"service.name", "service.id", "port 0", "service.weight 0", `"a b"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want something about %s", err, want)
		}
	}
}

func TestDeregistersAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		if err := g.stop(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		if a.has() || a.count("deregister") != 1 {
			t.Errorf("deregistered %d times, still there: %t", a.count("deregister"), a.has())
		}
		s := g.Status()
		if s.Registered || s.Err != nil {
			t.Errorf("got %+v", s)
		}
		asked := a.total()
		g.Beat()
		pass(time.Minute)
		if a.total() != asked {
			t.Error("the agent is asked after Run has returned")
		}
	})
}

func TestDeregisteredByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		a.wipe()
		if err := g.stop(); err != nil || a.count("deregister") != 0 {
			t.Errorf("got %v after %d requests", err, a.count("deregister"))
		}
	})
}

// Who has taken the ID over would vanish from the catalogue.
func TestLeavesWhatIsAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		a.with(func() { a.services["o1"].Address = "10.0.0.8" })
		if err := g.stop(); err != nil || !a.has() {
			t.Errorf("got %v; still there: %t", err, a.has())
		}
		if n := g.log.count("10.0.0.8:15006"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, g.log)
		}
	})
}

func TestSaysWhatRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		a.with(func() { a.down = true })
		begun := time.Now()
		err := g.stop()
		if err == nil || !strings.Contains(err.Error(), "consul services deregister -id=o1") || !strings.Contains(err.Error(), "refused") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestEndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		a.with(func() { a.frozen = true })
		begun := time.Now()
		if err := g.stop(); err == nil || !strings.Contains(err.Error(), "in time") || time.Since(begun) != 5*time.Second {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
	})
}

func TestEndTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		a.with(func() { a.instead = answerOnce("deregister", 500, "No cluster leader") })
		if err := g.stop(); err != nil || a.has() {
			t.Errorf("got %v; still there: %t", err, a.has())
		}
	})
}

func TestEndDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		g := run(t, a, consul.Config{}, orders())
		a.with(func() { a.tokens = []string{"other"}; a.asked = nil })
		if err := g.stop(); !errors.Is(err, consul.ErrDenied) || a.total() != 1 {
			t.Errorf("got %v after %d requests, want ErrDenied at once", err, a.total())
		}
	})
}

// A registration that reached the agent after the deregistration would stay.
func TestEndAwaitsARegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		a.slow = make(chan struct{})
		g := run(t, a, consul.Config{}, orders())
		g.cancel()
		pass(time.Second)
		close(a.slow)
		if err := <-g.err; err != nil || a.has() || a.count("deregister") != 1 {
			t.Errorf("got %v; still there: %t", err, a.has())
		}
	})
}

func TestEndOfWhatNeverBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry()
		a.down = true
		g := run(t, a, consul.Config{}, orders())
		if err := g.stop(); err != nil {
			t.Errorf("got %v: nothing remains", err)
		}
		asked := a.total()
		ctx, cancel := contextOf(t)
		cancel()
		if err := g.Run(ctx); err != nil || a.total() != asked {
			t.Errorf("got %v after %d requests, want none", err, a.total()-asked)
		}
	})
}
