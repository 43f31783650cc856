package outbound_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outrider/discovery"
	"outrider/internal/mesh"
	"outrider/outbound"
)

// asked is a service of one endpoint that runs.
func asked(t *testing.T, e mesh.Endpoint, edit func(*outbound.Config)) *outbound.Service {
	t.Helper()
	cfg := outbound.Config{Name: "orders", Resolver: discovery.Static{e}}
	edit(&cfg)
	s, err := outbound.NewService(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	<-s.Ready()
	return s
}

func TestAsk(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/odd")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, r.URL.RequestURI())
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	s := asked(t, mesh.Endpoint{ID: "1", Scheme: "http", Address: address}, func(*outbound.Config) {})
	status, kind, body, err := s.Ask(t.Context(), address, "/why?id=1", 100)
	if status != http.StatusTeapot || kind != "text/odd" || string(body) != "/why?id=1" || err != nil {
		t.Errorf("%d %s %s %v", status, kind, body, err)
	}
	if _, _, _, err = s.Ask(t.Context(), address, "/why?id=1", 3); err == nil {
		t.Error("an answer that is too long is no error")
	}
	if _, _, _, err = s.Ask(t.Context(), "127.0.0.1:1", "/why", 3); !errors.Is(err, outbound.ErrNotThere) {
		t.Errorf("another address: %v", err)
	}
	if st := s.Status().Endpoints[0]; st.Successes+st.Failures != 0 {
		t.Errorf("the balancer has counted the question: %+v", st)
	}
}

// Whoever is neither here nor proves who it is, is asked nothing: not even a connection
// is made.
func TestAskNoStranger(t *testing.T) {
	e := mesh.Endpoint{ID: "1", Scheme: "http", Address: "192.0.2.1:80"}
	for name, meet := range map[string]func(mesh.Endpoint) (*tls.Config, error){
		"without a mesh":                 nil,
		"met without TLS":                func(mesh.Endpoint) (*tls.Config, error) { return nil, nil },
		"refused by the mesh's own rule": func(mesh.Endpoint) (*tls.Config, error) { return nil, errors.New("no") },
	} {
		t.Run(name, func(t *testing.T) {
			s := asked(t, e, func(c *outbound.Config) { c.Mesh = meet })
			if _, _, _, err := s.Ask(t.Context(), e.Address, "/why", 3); !errors.Is(err, outbound.ErrStranger) {
				t.Errorf("%v", err)
			}
		})
	}
	s := asked(t, e, func(c *outbound.Config) {
		c.Mesh = func(mesh.Endpoint) (*tls.Config, error) { return &tls.Config{}, nil }
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it would be asked
	if _, _, _, err := s.Ask(ctx, e.Address, "/why", 3); err == nil || errors.Is(err, outbound.ErrStranger) {
		t.Errorf("by mutual TLS: %v", err)
	}
}
