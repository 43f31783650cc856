package app

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"outrider/internal/config"
	"outrider/internal/identity/identitytest"
	"outrider/internal/mesh"
)

// built builds what must be buildable.
func built(t *testing.T, in *Proxy, yaml string, last *generation) *generation {
	t.Helper()
	g, err := in.build(parse(t, yaml), last)
	if err != nil {
		t.Fatalf("cannot be built:\n%v", err)
	}
	return g
}

// kept counts the things of the shelf that were taken over from last.
func kept[T comparable](now, last shelf[T]) (n int) {
	for key, thing := range now {
		if last[key] == thing {
			n++
		}
	}
	return n
}

const shop = `
services:
  users: {url: http://127.0.0.1:3002}
  orders: {url: http://127.0.0.1:3003}
  auth-service: {url: http://127.0.0.1:3001}
routing:
  - {path: /users/**, service: users, middleware: [auth, rate-limit, cache]}
  - {path: /orders/**, service: orders, middleware: [circuit-breaker, auth, rate-limit]}
rate_limiting:
  default: {requests_per_minute: 60, burst: 5}
  paths: {/login: {requests_per_minute: 10, burst: 2}}
cache: {ttl: 300}
circuit_breaker: {failure_threshold: 5}
`

// What did not change is the very same thing after a reload, with its state; what did
// is a new one.
func TestTakingOver(t *testing.T) {
	type counts struct{ services, limiters, auths, stores int }
	tests := []struct {
		name     string
		old, new string // what is replaced in shop
		kept     counts
		of       counts
	}{
		{"nothing changed", "", "", counts{3, 2, 1, 1}, counts{3, 2, 1, 1}},
		{"lines moved", "services:", "# a comment\n\nservices:", counts{3, 2, 1, 1}, counts{3, 2, 1, 1}},
		{"another log level", "services:", "logging: {level: debug}\nservices:", counts{3, 2, 1, 1}, counts{3, 2, 1, 1}},
		{"a service changed", "{url: http://127.0.0.1:3002}", "{url: http://127.0.0.1:3002, timeout: 7s}", counts{2, 2, 1, 1}, counts{3, 2, 1, 1}},
		{"a service added", "services:", "services:\n  more: {url: http://127.0.0.1:3004}", counts{3, 2, 1, 1}, counts{4, 2, 1, 1}},
		{"a route added", "routing:", "routing:\n  - {path: /more, service: users}", counts{3, 2, 1, 1}, counts{3, 2, 1, 1}},
		{"the auth service changed", "{url: http://127.0.0.1:3001}", "{url: http://127.0.0.1:3001, retries: 1}", counts{2, 2, 0, 1}, counts{3, 2, 1, 1}},
		{"auth changed", "cache:", "auth: {cache_ttl: 1s}\ncache:", counts{3, 2, 0, 1}, counts{3, 2, 1, 1}},
		{"the default rate changed", "burst: 5", "burst: 6", counts{3, 1, 1, 1}, counts{3, 2, 1, 1}},
		{"a path's rate changed", "burst: 2", "burst: 3", counts{3, 1, 1, 1}, counts{3, 2, 1, 1}},
		{"another time to live", "ttl: 300", "ttl: 301", counts{3, 2, 1, 1}, counts{3, 2, 1, 1}},
		{"another size of the cache", "ttl: 300", "max_bytes: 1MiB", counts{3, 2, 1, 0}, counts{3, 2, 1, 1}},
		{"the breaker of orders changed", "failure_threshold: 5", "failure_threshold: 6", counts{2, 2, 1, 1}, counts{3, 2, 1, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := New(Options{})
			last := built(t, in, shop, nil)
			next := built(t, in, strings.Replace(shop, tt.old, tt.new, 1), last)
			got := counts{
				kept(next.services, last.services), kept(next.limiters, last.limiters),
				kept(next.auths, last.auths), kept(next.stores, last.stores),
			}
			if of := (counts{len(next.services), len(next.limiters), len(next.auths), len(next.stores)}); got != tt.kept || of != tt.of {
				t.Errorf("kept %+v of %+v, want %+v of %+v", got, of, tt.kept, tt.of)
			}
		})
	}
}

// A build that fails leaves no trace in what runs.
func TestAFailedBuildChangesNothing(t *testing.T) {
	in := New(Options{})
	last := built(t, in, shop, nil)
	before := len(last.services)
	bad := strings.Replace(shop, "failure_threshold: 5", "failure_threshold: 6", 1) +
		"server: {tls: {certs: [{cert_file: " + file(t, "no certificate") + ", key_file: " + file(t, "no key") + "}]}}\n"
	if g, err := in.build(parse(t, bad), last); err == nil {
		t.Fatalf("built %v", g)
	}
	if len(last.services) != before {
		t.Errorf("there are %d services, were %d", len(last.services), before)
	}
	again := built(t, in, shop, last)
	if got := kept(again.services, last.services); got != before {
		t.Errorf("%d services are kept, want %d", got, before)
	}
}

// Limits are told apart by whose they are, though their settings be the same: a
// request that meets two would else spend two tokens of one.
func TestLimitsOfTheirOwn(t *testing.T) {
	tests := []struct {
		name, yaml string
		want       int
	}{
		{"the default is shared", `
routing:
  - {path: /a, service: users, middleware: [rate-limit]}
  - {path: /b, service: users, middleware: [rate-limit]}
rate_limiting: {default: {requests_per_minute: 60}}`, 1},
		{"a path's and its route's", `
routing:
  - {path: /a, service: users, middleware: [rate-limit], rate_limiting: {default: {requests_per_minute: 60}}}
rate_limiting: {paths: {/a: {requests_per_minute: 60}}}`, 2},
		{"two routes of one path", `
routing:
  - {path: /a, hosts: [one.test], service: users, middleware: [rate-limit], rate_limiting: {default: {requests_per_minute: 60}}}
  - {path: /a, hosts: [two.test], service: users, middleware: [rate-limit], rate_limiting: {default: {requests_per_minute: 60}}}`, 2},
		{"two paths", `
routing: [{path: /a, service: users}]
rate_limiting: {paths: {/a: {requests_per_minute: 60}, /b: {requests_per_minute: 60}}}`, 2},
		{"beyond ASCII", `
routing: [{path: /a, service: users}]
rate_limiting: {paths: {/café: {requests_per_minute: 60}}}`, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := built(t, New(Options{}), "services: {users: {url: http://127.0.0.1:3002}}\n"+tt.yaml, nil)
			if got := len(g.limiters); got != tt.want {
				t.Errorf("there are %d limiters, want %d: %v", got, tt.want, g.limiters)
			}
		})
	}
}

// Routes share what is cached where the same URL leads to the same answer, and only
// there.
func TestWhereACachedRouteLeads(t *testing.T) {
	const base = "{path: /a, service: users, middleware: [cache]}"
	tests := []struct {
		name, one, other string
		same             bool
	}{
		{"the same", base, "{path: /a/**, methods: [POST], service: users, middleware: [cache]}", true},
		{"by a header", base, "{path: /a, headers: {X-Beta: yes}, service: users, middleware: [cache]}", true},
		{"another service", base, "{path: /a/**, service: orders, middleware: [cache]}", false},
		{"a split", base, "{path: /a/**, split: [{service: users, weight: 1}, {service: orders, weight: 1}], middleware: [cache]}", false},
		{"rewritten", base, "{path: /a/**, service: users, rewrite: {path: /b}, middleware: [cache]}", false},
		{"stripped from another path",
			"{path: /a/**, service: users, strip_path: true, middleware: [cache]}",
			"{path: /a/b/**, service: users, strip_path: true, middleware: [cache]}", false},
		{"the request is edited by the route", base,
			"{path: /a/**, service: users, middleware: [cache, transform], transform: {request: {set: {X-Tenant: b}}}}", false},
		{"the request is edited by the settings for all", base, "{path: /a/**, service: users, middleware: [cache, transform]}", false},
		{"only the response is edited",
			"{path: /a, service: users, middleware: [cache, transform]}",
			"{path: /a/**, service: users, middleware: [cache, transform], transform: {response: {set: {X-Tenant: b}}}}", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := parse(t, "services: {users: {url: http://127.0.0.1:3002}, orders: {url: http://127.0.0.1:3003}}\n"+
				"transform: {request: {set: {X-Tenant: a}}}\n"+
				"routing:\n  - "+tt.one+"\n  - "+tt.other+"\n")
			b := &builder{g: &generation{cfg: cfg}}
			if got := b.leadsTo(cfg.Routing[0]) == b.leadsTo(cfg.Routing[1]); got != tt.same {
				t.Errorf("they share what is cached: %t, want %t", got, tt.same)
			}
		})
	}
}

func TestIdentityHeadersAreThoseOfEveryAuth(t *testing.T) {
	cfg := parse(t, `
services: {users: {url: http://127.0.0.1:3002}}
routing:
  - {path: /a, service: users, middleware: [auth], auth: {headers: {tenant: x-tenant, id: X-USER-ID}}}
  - {path: /b, service: users}
`)
	want := []string{"X-Tenant", "X-User-Id", "X-User-Role"}
	if got := identityHeaders(cfg); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The authentication service is one of the configuration's where it is named there.
func TestTheAuthService(t *testing.T) {
	const users = "services: {users: {url: http://127.0.0.1:3002}%s}\nrouting: [{path: /a, service: users, middleware: [auth]}]\n"
	tests := []struct {
		name, more, auth string
		want             []string
	}{
		{"by the name of a service", ", auth: {url: http://127.0.0.1:3001}", "auth: {validate_url: http://auth/validate}", []string{"auth", "users"}},
		{"by a name in DNS", "", "auth: {validate_url: https://auth.example/validate}", []string{"auth.example", "users"}},
		{"by an address", "", "auth: {validate_url: http://127.0.0.1:3001/validate}", []string{"127.0.0.1", "users"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := built(t, New(Options{}), strings.Replace(users, "%s", tt.more, 1)+tt.auth, nil)
			var got []string
			for _, s := range g.sorted() {
				got = append(got, s.name)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("the services are %q, want %q", got, tt.want)
			}
		})
	}
}

// The breaker that a route puts before a service: only where it lists one, the
// route's own before the service's before that for all.
func TestBreakersOfRoutes(t *testing.T) {
	const all = `
services:
  users: {url: http://127.0.0.1:3002}
  orders: {url: http://127.0.0.1:3003, circuit_breaker: {failure_threshold: 7}}
circuit_breaker: {failure_threshold: 3}
routing:
`
	tests := []struct {
		name, route string
		want        int // failures; zero: no breaker but the service's own
	}{
		{"not listed", "{path: /a, service: users}", 0},
		{"not listed, though set", "{path: /a, service: users, circuit_breaker: {failure_threshold: 9}}", 0},
		{"that for all", "{path: /a, service: users, middleware: [circuit-breaker]}", 3},
		{"the service's", "{path: /a, service: orders, middleware: [circuit-breaker]}", 0},
		{"the route's", "{path: /a, service: orders, middleware: [circuit-breaker], circuit_breaker: {failure_threshold: 9}}", 9},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := parse(t, all+"  - "+tt.route)
			r := cfg.Routing[0]
			got := 0
			if o := (&builder{g: &generation{cfg: cfg}}).override(r, cfg.Services[r.Service]); o.Breaker != nil {
				got = o.Breaker.FailureThreshold
			}
			if got != tt.want {
				t.Errorf("it opens after %d failures, want %d", got, tt.want)
			}
		})
	}
}

func TestCheckFindsEveryFaultAtItsLine(t *testing.T) {
	no := file(t, "no certificate")
	cfg := parse(t, `server: {tls: {certs: [{cert_file: `+no+`, key_file: `+no+`}]}}
services:
  one: {url: https://127.0.0.1:3001, tls: {ca_file: `+no+`}}
  two: {url: https://127.0.0.1:3002, tls: {ca_file: `+no+`}}
  three: {url: http://127.0.0.1:3003}
routing:
  - {path: /one, service: one, middleware: [auth], auth: {validate_url: http://two/validate}}
  - {path: /three, service: three}
`)
	err := Check(cfg)
	var faults config.Problems
	if !errors.As(err, &faults) {
		t.Fatalf("got %v, want config.Problems", err)
	}
	var lines []int
	for _, p := range faults {
		lines = append(lines, p.Line)
		if p.File != cfg.File || !strings.Contains(p.Message, no) {
			t.Errorf("the fault does not say which file it is in and about: %v", p)
		}
	}
	if want := []int{1, 3, 4}; !slices.Equal(lines, want) { // and nothing at 7, which only leads there
		t.Errorf("faults at lines %v, want %v:\n%v", lines, want, err)
	}
}

func TestCheckFindsRewritesThatCannotBe(t *testing.T) {
	const service = "services: {users: {url: http://127.0.0.1:3002}}\nrouting:\n  - "
	tests := []struct{ name, route, want string }{
		{"rewrite", "{path: /a/**, service: users, rewrite: {path: /b/../c}}", "dot segments"},
		{"redirect", "{path: /a/**, redirect: {path: /b/../c}}", "dot segments"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := config.Load(config.Options{File: file(t, service+tt.route), Environ: free})
			if err == nil {
				err = Check(cfg)
			}
			var faults config.Problems
			if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Line != 3 || !strings.Contains(faults[0].Message, tt.want) {
				t.Errorf("got %v, want one fault at line 3 with %q", err, tt.want)
			}
		})
	}
}

func TestCheckPassesTheExamples(t *testing.T) {
	for _, name := range []string{"gateway.yml", "demo.yml"} {
		if err := Check(load(t, filepath.Join("..", "..", "examples", name))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Certificates are taken over with the listener, and read again.
func TestServerCertificatesAreTakenOver(t *testing.T) {
	dir := t.TempDir()
	ca := identitytest.NewCA(t)
	cert, key := ca.Issue(t, identitytest.Leaf{DNS: []string{"shop.test"}}).Write(t, dir, "shop")
	yaml := "server: {tls: {certs: [{cert_file: " + cert + ", key_file: " + key + "}]}}\n"
	in := New(Options{})
	last := built(t, in, yaml, nil)
	next := built(t, in, "# moved\n"+yaml, last)
	if next.tls == nil || next.tls != last.tls {
		t.Error("the certificates were not taken over")
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := next.rereadCertificates(last); err == nil || !strings.Contains(err.Error(), "server.tls") || !strings.Contains(err.Error(), key) {
		t.Errorf("got %v, want an error that names server.tls and the file", err)
	}
	// Nothing is read again by a generation that does without.
	if err := built(t, in, "", last).rereadCertificates(last); err != nil {
		t.Error(err)
	}
}

func TestConversions(t *testing.T) {
	if healthCheck(nil) != nil || breaker(nil) != nil {
		t.Error("what is not configured must stay so")
	}
	if got := outlier(nil); got.ConsecutiveFailures != 0 {
		t.Errorf("outlier: false ejects after %d failures", got.ConsecutiveFailures)
	}
	cfg := parse(t, `
services:
  users:
    url: http://127.0.0.1:3002
    health_check: {path: /up, interval: 3s, timeout: 1s, healthy: 2, unhealthy: 4, expect: "200-204,301"}
    retries: {attempts: 4, on: [connect, 503], base: 1ms, max: 2ms, budget: {percent: 7, min: 8}}
    outlier: {consecutive_failures: 9, base_ejection: 10s, max_ejected_percent: 11}
    circuit_breaker: {failure_threshold: 12, recovery_timeout: 13s, success_threshold: 14}
`).Services["users"]
	// Every field arrives: a zero would be one that was forgotten.
	for name, block := range map[string]any{
		"health_check": *healthCheck(cfg.HealthCheck), "retries": retry(cfg.Retries),
		"outlier": outlier(cfg.Outlier), "circuit_breaker": *breaker(cfg.CircuitBreaker),
	} {
		v := reflect.ValueOf(block)
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%s: %s did not arrive", name, v.Type().Field(i).Name)
			}
		}
	}
	if got := healthCheck(cfg.HealthCheck).Expect; len(got) != 2 || got[0].To != 204 || got[1].From != 301 {
		t.Errorf("expect became %v", got)
	}
}

// A fault without a line of its own stands at the route's.
func TestFaults(t *testing.T) {
	b := &builder{g: &generation{cfg: &config.Config{File: "gateway.yml"}}}
	b.fault(3, nil)
	b.fault(3, errors.Join(errors.New("one"), nil, errors.Join(errors.New("two"), errBroken)))
	b.fault(4, &mesh.Fault{Kind: mesh.Malformed})
	want := config.Problems{{File: "gateway.yml", Line: 3, Message: "one"}, {File: "gateway.yml", Line: 3, Message: "two"}}
	if len(b.faults) != 3 || !reflect.DeepEqual(b.faults[:2], want) || b.faults[2].Line != 4 {
		t.Errorf("got %v", b.faults)
	}
}
