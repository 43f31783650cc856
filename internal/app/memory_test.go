package app

import (
	"context"
	"testing"

	"outrider/discovery"
	"outrider/discovery/consul"
	"outrider/internal/mesh"
)

func TestMemoryRegistry(t *testing.T) {
	var m discovery.Memory
	in := Memory(&m)
	defer in.Close()
	if in.Forgetful() {
		t.Error("memory forgets nothing while its process lives")
	}
	well := make(chan bool, 1)
	well <- false
	health := func() (bool, string) {
		is := <-well
		well <- is
		return is, "not yet"
	}
	is := consul.Registration{Name: "tea", ID: "t1", Address: "::1", Port: 80, Weight: 2, Zone: "b", Meta: map[string]string{"k": "v"}}
	r, err := in.Registrar(is, health)
	if err != nil || r.Registered() {
		t.Fatalf("%v, registered %v", err, r.Registered())
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	one := func(so func(mesh.Endpoint) bool) func() bool {
		return func() bool { all := instances(t, &m, "tea"); return len(all) == 1 && so(all[0]) }
	}
	eventually(t, "it is there", one(func(e mesh.Endpoint) bool {
		return e.ID == "t1" && e.Address == "[::1]:80" && e.Scheme == "http" && e.Host == "tea" && e.Weight == 2 && e.Zone == "b" &&
			e.Meta["k"] == "v" && e.Unhealthy && e.HealthNote == "not yet"
	}))
	eventually(t, "it says so", r.Registered)
	<-well
	well <- true
	r.Beat()
	r.Beat() // twice is as good as once
	eventually(t, "it is well", one(func(e mesh.Endpoint) bool { return !e.Unhealthy }))
	is.Weight = 5
	if err := r.Change(is); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has changed", one(func(e mesh.Endpoint) bool { return e.Weight == 5 && !e.Unhealthy }))
	var found []mesh.Endpoint
	looking, enough := context.WithCancel(t.Context())
	_ = in.Resolver(consul.Query{Service: "tea"}, consul.Hear{}).Watch(looking, "called-otherwise", func(set []mesh.Endpoint) { found = set; enough() })
	if len(found) != 1 {
		t.Errorf("found %v by the registry's name", found)
	}
	cancel()
	if err := <-ended; err != nil || r.Registered() || len(instances(t, &m, "tea")) != 0 {
		t.Errorf("ended with %v, registered %v", err, r.Registered())
	}
}
