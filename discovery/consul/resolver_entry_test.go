package consul_test

import (
	"bytes"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/consul/api"

	"outrider/discovery/consul"
	"outrider/internal/mesh"
)

// resolve returns what becomes of the entries, and the log.
func resolve(t *testing.T, q consul.Query, entries ...*api.ServiceEntry) (set []mesh.Endpoint, log string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		a.put("orders", entries...)
		var text bytes.Buffer
		w := watch(t, a.client(t, consul.Config{Log: slog.New(slog.NewTextHandler(&text, nil))}), q)
		w.stop(t)
		set, log = w.last(), text.String()
	})
	return set, log
}

func check(id, name, status, output string) *api.HealthCheck {
	return &api.HealthCheck{CheckID: id, Name: name, Status: status, Output: output}
}

func maintenance(id, reason string) *api.HealthCheck {
	return &api.HealthCheck{CheckID: id, Name: "Maintenance Mode", Status: api.HealthCritical, Notes: reason}
}

func TestEntryBecomesAnEndpoint(t *testing.T) {
	e := entry("orders-1", "10.0.0.1", 3003)
	e.Service.Meta = map[string]string{"version": "2"}
	e.Service.Weights = api.AgentWeights{Passing: 7, Warning: 2}
	e.Service.Locality = &api.Locality{Region: "eu", Zone: "eu-1"}
	set, _ := resolve(t, consul.Query{}, e)
	want := []mesh.Endpoint{{
		ID: "dc1/n1/orders-1", Scheme: "http", Address: "10.0.0.1:3003", Host: "orders",
		Weight: 7, Zone: "eu-1", Meta: map[string]string{"version": "2"},
	}}
	if !reflect.DeepEqual(set, want) {
		t.Errorf("got %+v\nwant %+v", set, want)
	}
}

func TestEntryID(t *testing.T) {
	e := entry("orders-1", "10.0.0.1", 80)
	e.Service.Namespace, e.Service.Partition = "shop", "west"
	twin := entry("orders-1", "10.0.0.2", 80)
	twin.Node.Node = "n2"
	set, _ := resolve(t, consul.Query{}, e, twin)
	if got := ids(set); !reflect.DeepEqual(got, []string{"dc1/n2/orders-1", "dc1/west/shop/n1/orders-1"}) {
		t.Errorf("got %v", got)
	}
}

func TestEntryAddress(t *testing.T) {
	tests := []struct {
		name, service, node string
		port                int
		want                string // empty: left out
	}{
		{"its own", "10.0.0.1", "10.9.9.9", 80, "10.0.0.1:80"},
		{"its node's", "", "10.9.9.9", 80, "10.9.9.9:80"},
		{"IPv6", "2001:db8::1", "10.9.9.9", 80, "[2001:db8::1]:80"},
		{"IPv6 in brackets", "[2001:db8::1]", "", 80, "[2001:db8::1]:80"},
		{"IPv6 of the node", "", "2001:db8::2", 80, "[2001:db8::2]:80"},
		{"IPv6 with a zone", "fe80::1%eth0", "", 80, "[fe80::1%eth0]:80"},
		{"a name", "orders.example.com", "10.9.9.9", 80, "orders.example.com:80"},
		{"none", "", "", 80, ""},
		{"no port", "10.0.0.1", "", 0, ""},
		{"a negative port", "10.0.0.1", "", -1, ""},
		{"no such port", "10.0.0.1", "", 65536, ""},
		{"the last port", "10.0.0.1", "", 65535, "10.0.0.1:65535"},
		{"any address", "0.0.0.0", "10.9.9.9", 80, ""},
		{"any IPv6 address", "::", "10.9.9.9", 80, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := entry("a", tt.service, tt.port)
			e.Node.Address = tt.node
			set, log := resolve(t, consul.Query{}, e)
			got := ""
			if len(set) > 0 {
				got = set[0].Address
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if logged := strings.Contains(log, "dc1/n1/a"); logged != (tt.want == "") {
				t.Errorf("logged: %q", log)
			}
		})
	}
}

func TestEntryDefaultPort(t *testing.T) {
	e := entry("a", "10.0.0.1", 0)
	e.Service.Ports = api.ServicePorts{{Name: "admin", Port: 9000}, {Name: "http", Port: 8080, Default: true}}
	if set, _ := resolve(t, consul.Query{}, e); len(set) != 1 || set[0].Address != "10.0.0.1:8080" {
		t.Errorf("got %v, want the port that is its default", set)
	}
}

// What has no address is logged when it changes, not at each answer.
func TestSkippedIsLoggedOncePerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent()
		var text bytes.Buffer
		a.put("orders", entry("a", "10.0.0.1", 80), entry("b", "10.0.0.2", 0))
		w := watch(t, a.client(t, consul.Config{Log: slog.New(slog.NewTextHandler(&text, nil))}), consul.Query{})
		defer w.stop(t)
		pass(5 * time.Minute)
		if n := strings.Count(text.String(), "WARN"); n != 1 || len(w.last()) != 1 {
			t.Errorf("%d endpoints; logged:\n%s", len(w.last()), &text)
		}
		a.put("orders", entry("a", "10.0.0.1", 80), entry("b", "10.0.0.2", 0), entry("c", "10.0.0.3", 0))
		pass(time.Minute)
		a.put("orders", entry("a", "10.0.0.1", 80), entry("b", "10.0.0.2", 81))
		pass(time.Minute)
		if warned, informed := strings.Count(text.String(), "WARN"), strings.Count(text.String(), "INFO"); warned != 2 || informed != 1 {
			t.Errorf("logged:\n%s", &text)
		}
	})
}

func TestEntryWeight(t *testing.T) {
	warning := check("service:a", "app", api.HealthWarning, "slow")
	tests := []struct {
		name    string
		weights api.AgentWeights
		check   *api.HealthCheck
		want    int
	}{
		{"passing", api.AgentWeights{Passing: 10, Warning: 3}, check("service:a", "app", api.HealthPassing, ""), 10},
		{"warning", api.AgentWeights{Passing: 10, Warning: 3}, warning, 3},
		{"warning of none", api.AgentWeights{Passing: 10}, warning, 1},
		{"none", api.AgentWeights{}, nil, 1},
		{"negative", api.AgentWeights{Passing: -1, Warning: -1}, nil, 1},
	}
	for _, tt := range tests {
		e := with(entry("a", "10.0.0.1", 80), tt.check)
		e.Service.Weights = tt.weights
		set, _ := resolve(t, consul.Query{}, e)
		if got := set[0]; got.Weight != tt.want || got.Unhealthy || got.HealthNote != "" {
			t.Errorf("%s: got %+v, want a healthy endpoint of weight %d", tt.name, got, tt.want)
		}
	}
}

func TestEntryZone(t *testing.T) {
	tests := []struct {
		name                   string
		locality, meta         string // the service's
		nodeLocality, nodeMeta string
		want                   string
	}{
		{"all", "a", "b", "c", "d", "a"},
		{"meta", "", "b", "c", "d", "b"},
		{"the node's", "", "", "c", "d", "c"},
		{"the node's meta", "", "", "", "d", "d"},
		{"none", "", "", "", "", ""},
	}
	for _, tt := range tests {
		e := entry("a", "10.0.0.1", 80)
		e.Service.Locality, e.Node.Locality = &api.Locality{Zone: tt.locality}, &api.Locality{Zone: tt.nodeLocality}
		e.Service.Meta, e.Node.Meta = map[string]string{"zone": tt.meta}, map[string]string{"zone": tt.nodeMeta}
		set, _ := resolve(t, consul.Query{}, e)
		if got := set[0].Zone; got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestEntryScheme(t *testing.T) {
	tests := []struct{ configured, meta, want string }{
		{"", "", "http"},
		{"h2c", "", "h2c"},
		{"", "h2c", "h2c"},
		{"", "https", "https"},
		{"h2c", "http", "http"},
		{"", "ftp", "http"},
		{"https", "http", "https"}, // TLS that is asked for stays
		{"https", "h2c", "https"},
		{"https", "", "https"},
		{"https", "https", "https"},
	}
	for _, tt := range tests {
		e := entry("a", "10.0.0.1", 80)
		e.Service.Meta = map[string]string{"scheme": tt.meta}
		set, _ := resolve(t, consul.Query{Scheme: tt.configured}, e)
		if got := set[0].Scheme; got != tt.want {
			t.Errorf("configured %q, meta %q: got %q, want %q", tt.configured, tt.meta, got, tt.want)
		}
	}
}

func TestEntryHealth(t *testing.T) {
	long := strings.Repeat("ä", 300)
	tests := []struct {
		name      string
		checks    []*api.HealthCheck
		unhealthy bool
		withdrawn bool
		note      string
	}{
		{"passing", []*api.HealthCheck{check("service:a", "app", api.HealthPassing, "fine")}, false, false, ""},
		{"critical", []*api.HealthCheck{check("service:a", "app", api.HealthCritical, "\n connection\trefused \nmore")}, true, false, "app: connection refused"},
		{"critical and silent", []*api.HealthCheck{check("service:a", "", api.HealthCritical, "")}, true, false, "service:a"},
		{"the node", []*api.HealthCheck{check("serfHealth", "Serf Health Status", api.HealthCritical, "Agent not live or unreachable")}, true, false, "Serf Health Status: Agent not live or unreachable"},
		{"two critical", []*api.HealthCheck{check("z", "z", api.HealthCritical, "2"), check("b", "b", api.HealthCritical, "1")}, true, false, "b: 1"},
		{"critical and warning", []*api.HealthCheck{check("a", "a", api.HealthWarning, "1"), check("b", "b", api.HealthCritical, "2")}, true, false, "b: 2"},
		{"service in maintenance", []*api.HealthCheck{maintenance("_service_maintenance:a", "a new disk\nsoon")}, true, true, "maintenance: a new disk"},
		{"node in maintenance", []*api.HealthCheck{maintenance("_node_maintenance", "kernel")}, true, true, "maintenance: kernel"},
		{"both", []*api.HealthCheck{maintenance("_service_maintenance:a", "disk"), maintenance("_node_maintenance", "kernel")}, true, true, "maintenance: kernel"},
		{"maintenance without a reason", []*api.HealthCheck{maintenance("_node_maintenance", "")}, true, true, "maintenance"},
		{"maintenance and critical", []*api.HealthCheck{check("Z", "app", api.HealthCritical, "no"), maintenance("_node_maintenance", "kernel"), check("z", "app", api.HealthCritical, "no")}, true, true, "maintenance: kernel"},
		{"escapes", []*api.HealthCheck{check("a", "a\nb", api.HealthCritical, "\x1b[31mred\x00 \xff")}, true, false, "a: [31mred \ufffd"},
		{"long", []*api.HealthCheck{check("a", "app", api.HealthCritical, long)}, true, false, "app: " + strings.Repeat("ä", 96) + "…"},
		{"no check at all", nil, false, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := with(entry("a", "10.0.0.1", 80), tt.checks...)
			if tt.checks == nil {
				e.Checks = nil
			}
			set, _ := resolve(t, consul.Query{}, e)
			got := set[0]
			if got.Unhealthy != tt.unhealthy || got.Withdrawn != tt.withdrawn || got.HealthNote != tt.note {
				t.Errorf("unhealthy %v, withdrawn %v, %q\nwant %v, %v, %q", got.Unhealthy, got.Withdrawn, got.HealthNote, tt.unhealthy, tt.withdrawn, tt.note)
			}
			if n := len(got.HealthNote); n > consul.MaxNote || !utf8.ValidString(got.HealthNote) {
				t.Errorf("the note has %d bytes: %q", n, got.HealthNote)
			}
		})
	}
}

func TestEntryThatIsNone(t *testing.T) {
	set, _ := resolve(t, consul.Query{}, nil, &api.ServiceEntry{}, &api.ServiceEntry{Node: &api.Node{}}, entry("a", "10.0.0.1", 80))
	if len(set) != 1 {
		t.Errorf("got %v, want the one that is an entry", set)
	}
}
