package integration_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"outrider/integration/meshtest"
)

// rules are what a sidecar's token must allow.
const rules = `
service_prefix "" { policy = "write" }
node_prefix "" { policy = "read" }
`

// TestMeshChaos is a minute each of what happens to a mesh: instances and apps die,
// everything is restarted, Consul freezes, dies and forgets, tokens are revoked. No
// idempotent request may fail meanwhile.
func TestMeshChaos(t *testing.T) {
	consul := meshtest.StartConsul(t, true)
	token := filepath.Join(t.TempDir(), "token")
	accessor, secret := consul.Token("sidecars", rules)
	writeFile(t, token, secret)
	c := &chaos{fleet: startFleet(t, consul, fleetOptions{instances: 3, token: token}), token: token, accessor: accessor}
	for _, scenario := range []struct {
		name string
		run  func(context.Context)
	}{
		{"InstanceKilled", c.killInstances},
		{"AppKilled", c.killApps},
		{"RollingRestart", c.restartAll},
		{"ConsulFrozen", c.freezeConsul},
		{"ConsulKilled", c.killConsul},
		{"ConsulWiped", c.wipeConsul},
		{"TokenReplaced", c.replaceToken},
		{"RestartsWithoutConsul", c.restartWithoutConsul},
	} {
		t.Run(scenario.name, func(t *testing.T) { c.endure(t, scenario.run) })
	}
}

// chaos is what happens to a fleet.
type chaos struct {
	*fleet
	token, accessor string
	traffic         *traffic
	events          int // things done to the fleet
}

// endure runs a scenario under traffic, for as long as a soak, and counts failures.
func (c *chaos) endure(t *testing.T, scenario func(context.Context)) {
	c.traffic = newTraffic(c.url, meshRequest)
	c.events = 0
	ctx, cancel := context.WithTimeout(t.Context(), soakTime)
	defer cancel()
	var load, trouble sync.WaitGroup
	load.Go(func() { c.traffic.run(ctx) })
	trouble.Go(func() { scenario(ctx) })
	trouble.Wait()
	load.Wait()
	n, failed := c.traffic.done.Load(), c.traffic.failed.Load()
	rate := float64(n) / soakTime.Seconds()
	fmt.Printf("%s: %d requests in %.0fs, %.0f/s, %d events, %d failed\n", t.Name(), n, soakTime.Seconds(), rate, c.events, failed)
	if failed != 0 {
		t.Errorf("%d idempotent requests failed, want none:\n%s\n%s", failed, strings.Join(c.traffic.reasons(), "\n"), c.explain())
	}
	if rate < soakFloor {
		t.Errorf("%.0f requests a second, want %d", rate, soakFloor)
	}
	if c.events == 0 {
		t.Error("nothing was done to the fleet")
	}
	c.awaitAll()
}

// meshRequest is request n: every second one goes through users to orders.
func meshRequest(n int) (method, path, body string) {
	switch n % 4 {
	case 0, 1:
		return "GET", "/api/users/42/orders", ""
	case 2:
		return "PUT", "/users/items/" + strconv.Itoa(n), strings.Repeat("tea ", n%500)
	}
	return "GET", "/api/orders", ""
}

// explain shows what the proxies logged of requests that did not end well, the last
// few of each: of a request that was cut the status may well be 200.
func (c *chaos) explain() string {
	var b strings.Builder
	programs := []*program{c.ingress}
	for _, n := range c.nodes() {
		programs = append(programs, n.sidecar)
	}
	for _, p := range programs {
		var bad []string
		for line := range strings.Lines(p.out.String()) {
			if !strings.Contains(line, `"code":""`) {
				bad = append(bad, line)
			}
		}
		fmt.Fprintf(&b, "%s:\n%s", p.name, strings.Join(bad[max(0, len(bad)-6):], ""))
	}
	return b.String()
}

// rest lets so much traffic pass, and reports whether there is time for more.
func (c *chaos) rest(ctx context.Context, d time.Duration) bool {
	c.traffic.await(ctx, int64(d.Seconds()*soakPace))
	return ctx.Err() == nil
}

// each does something to one instance after the other, as long as there is time.
func (c *chaos) each(ctx context.Context, do func(*node)) {
	nodes := c.nodes()
	for n := 0; ctx.Err() == nil; n++ {
		c.events++
		do(nodes[n%len(nodes)])
		c.awaitAll()
		if !c.rest(ctx, time.Second) {
			return
		}
	}
}

func (c *chaos) killInstances(ctx context.Context) {
	c.each(ctx, func(n *node) {
		n.kill()
		c.rest(ctx, 3*time.Second)
		n.start()
	})
}

func (c *chaos) killApps(ctx context.Context) {
	c.each(ctx, func(n *node) {
		n.app.signal(syscall.SIGKILL)
		c.rest(ctx, 3*time.Second)
		n.app.start()
		n.app.ready()
	})
}

func (c *chaos) restartAll(ctx context.Context) {
	c.each(ctx, func(n *node) {
		n.stop()
		n.start()
	})
}

func (c *chaos) freezeConsul(ctx context.Context) {
	for ctx.Err() == nil {
		c.events++
		c.consul.Freeze()
		c.rest(ctx, 15*time.Second)
		c.consul.Thaw()
		if !c.rest(ctx, 5*time.Second) {
			return
		}
	}
}

func (c *chaos) killConsul(ctx context.Context) {
	for ctx.Err() == nil {
		c.events++
		c.consul.Kill()
		c.rest(ctx, 10*time.Second)
		c.consul.Start()
		if !c.rest(ctx, 8*time.Second) {
			return
		}
	}
}

// wipeConsul has Consul forget services, policies and tokens; an operator brings the
// tokens back.
func (c *chaos) wipeConsul(ctx context.Context) {
	for ctx.Err() == nil {
		c.events++
		c.consul.Wipe()
		c.rest(ctx, 3*time.Second)
		c.renewToken()
		if !c.rest(ctx, 15*time.Second) {
			return
		}
	}
}

func (c *chaos) replaceToken(ctx context.Context) {
	for ctx.Err() == nil {
		c.events++
		c.consul.Delete("/v1/acl/token/" + c.accessor)
		if !c.rest(ctx, 5*time.Second) {
			c.renewToken()
			return
		}
		c.renewToken()
		if !c.rest(ctx, 8*time.Second) {
			return
		}
	}
}

// renewToken makes a token where there is none, and puts it into its file.
func (c *chaos) renewToken() {
	var policies []struct{ Name string }
	c.consul.Get("/v1/acl/policies", &policies)
	known := false
	for _, p := range policies {
		known = known || p.Name == "sidecars"
	}
	var secret string
	if known {
		c.accessor, secret = c.consul.TokenOf("sidecars")
	} else {
		c.accessor, secret = c.consul.Token("sidecars", rules)
	}
	writeFile(c.t, c.token, secret)
}

// restartWithoutConsul restarts every sidecar, one after the other, while Consul is
// down: each lives by its snapshot.
func (c *chaos) restartWithoutConsul(ctx context.Context) {
	c.consul.Kill()
	for _, n := range c.nodes() {
		c.events++
		n.sidecar.signal(syscall.SIGTERM)
		n.sidecar.start()
		n.sidecar.ready()
		c.rest(ctx, time.Second)
	}
	c.rest(ctx, 5*time.Second)
	c.consul.Start()
	for ctx.Err() == nil {
		c.rest(ctx, time.Second)
	}
}

// writeFile replaces a file in one step.
func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}
