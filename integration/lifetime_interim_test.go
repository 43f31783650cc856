package integration_test

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"

	"outrider/internal/mesh"
)

// Clause 7: 1xx goes up to the client, before the answer.
func TestLifetime7Interim(t *testing.T) {
	onBoth(t, func(t *testing.T, p protocol) {
		hinted := make(chan struct{})
		origin := p.endpoint(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</tea.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			select { // the answer is held back until the hint has come
			case <-hinted:
			case <-r.Context().Done():
			}
			w.Header().Del("Link")
			w.WriteHeader(http.StatusNoContent)
		})
		e := p.serve(t, patiently(), []string{origin})
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			if code != http.StatusEarlyHints || header.Get("Link") != "</tea.css>; rel=preload" {
				t.Errorf("got %d with %v, want the 103", code, header)
			}
			close(hinted)
			return nil
		}}
		req := request(t, http.MethodGet, e.URL+"/")
		resp, err := e.Client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		await(t, "the 103", hinted)
		if resp.StatusCode != http.StatusNoContent || resp.Header.Get("Link") != "" {
			t.Errorf("the answer was %s with Link %q", resp.Status, resp.Header.Get("Link"))
		}
	})
}

// Clause 7: 100 is sent when the endpoint says so or the body is first read, and not
// to a client whose body nobody asks for. net/http's HTTP/2 server keeps Expect to
// itself, so that there only a layer can refuse before the body is read.
func TestLifetime7Continue(t *testing.T) {
	for _, c := range []struct {
		name   string
		reads  bool
		status int
		layers []mesh.Layer
		spoken []protocol
	}{
		{"the endpoint reads", true, http.StatusOK, nil, protocols},
		{"the endpoint refuses", false, http.StatusForbidden, nil, protocols[:1]},
		{"a layer refuses", false, http.StatusTooManyRequests, []mesh.Layer{refuse}, protocols},
	} {
		for _, p := range c.spoken {
			t.Run(c.name+", "+p.name, func(t *testing.T) {
				origin := p.endpoint(t, func(w http.ResponseWriter, r *http.Request) {
					if !c.reads {
						w.WriteHeader(http.StatusForbidden)
						return
					}
					_, _ = io.Copy(w, r.Body)
				})
				e := p.serve(t, patiently(), []string{origin}, c.layers...)
				var continued, read atomic.Bool
				trace := &httptrace.ClientTrace{Got100Continue: func() { continued.Store(true) }}
				req := request(t, http.MethodPut, e.URL+"/", "Expect", "100-continue")
				req = req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
				req.Body, req.ContentLength = io.NopCloser(&noting{strings.NewReader("body"), &read}), 4
				resp, err := e.Client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if resp.StatusCode != c.status || err != nil || c.reads && string(got) != "body" {
					t.Errorf("the answer was %s, %q, %v", resp.Status, got, err)
				}
				if continued.Load() != c.reads || read.Load() != c.reads {
					t.Errorf("the client was told to go on: %v, and sent its body: %v; want %v", continued.Load(), read.Load(), c.reads)
				}
			})
		}
	}
}

// refuse lets nothing pass.
func refuse(http.RoundTripper) http.RoundTripper {
	return mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return nil, &mesh.Fault{Kind: mesh.Limited} })
}

// noting notes that it was read.
type noting struct {
	io.Reader
	read *atomic.Bool
}

func (n *noting) Read(p []byte) (int, error) {
	n.read.Store(true)
	return n.Reader.Read(p)
}
