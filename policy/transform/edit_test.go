package transform_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"outrider/internal/mesh"
	"outrider/policy/transform"
)

func TestEdit(t *testing.T) {
	tests := []struct {
		name   string
		edit   transform.Edit
		before http.Header
		after  http.Header
	}{
		{"nothing of it is there", transform.Edit{Remove: []string{"X-A"}}, fields(), fields()},
		{"remove all values", transform.Edit{Remove: []string{"x-a"}}, fields("X-A: 1", "X-A: 2", "X-B: 3"), fields("X-B: 3")},
		{"set replaces all values", transform.Edit{Set: map[string]string{"x-a": "3"}}, fields("X-A: 1", "X-A: 2"), fields("X-A: 3")},
		{"add keeps what is there", transform.Edit{Add: map[string]string{"X-A": "2"}}, fields("X-A: 1"), fields("X-A: 1", "X-A: 2")},
		{"remove, then set, then add", transform.Edit{
			Remove: []string{"X-A"}, Set: map[string]string{"X-A": "2"}, Add: map[string]string{"X-A": "3"},
		}, fields("X-A: 1"), fields("X-A: 2", "X-A: 3")},
		{"an empty value is a value", transform.Edit{Set: map[string]string{"X-A": ""}}, fields(), fields("X-A: ")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := newRequest(t, http.MethodGet)
			req.Header = tt.before.Clone()
			var sent http.Header
			_, err := stack(t, transform.Config{Request: tt.edit}, func(req *http.Request) (*http.Response, error) {
				sent = req.Header
				return answer(""), nil
			}).RoundTrip(req)
			if err != nil || !maps.EqualFunc(sent, tt.after, slices.Equal) {
				t.Errorf("request: %v, %v, want %v", sent, err, tt.after)
			}
			resp := answer("")
			resp.Header = tt.before.Clone()
			got, _ := send(t, transform.Config{Response: tt.edit}, newRequest(t, http.MethodGet), resp)
			if !maps.EqualFunc(got.Header, tt.after, slices.Equal) {
				t.Errorf("response: %v, want %v", got.Header, tt.after)
			}
		})
	}
}

func TestAnswersOfOneEditShareNothing(t *testing.T) {
	cfg := transform.Config{Response: transform.Edit{Set: map[string]string{"X-A": "1"}}}
	origin := stack(t, cfg, func(*http.Request) (*http.Response, error) { return answer(""), nil })
	for range 2 {
		resp, err := origin.RoundTrip(newRequest(t, http.MethodGet))
		if err != nil || resp.Header.Get("X-A") != "1" {
			t.Fatalf("%v, %v", resp, err)
		}
		resp.Header["X-A"][0] = "edited"
	}
}

func TestFaultsPassUnedited(t *testing.T) {
	fault := &mesh.Fault{Kind: mesh.NoEndpoints}
	for _, envelope := range []bool{false, true} {
		cfg := transform.Config{Envelope: envelope, Response: transform.Edit{Set: map[string]string{"X-A": "1"}}}
		resp, err := stack(t, cfg, func(*http.Request) (*http.Response, error) { return nil, fault }).RoundTrip(newRequest(t, http.MethodGet))
		if resp != nil || mesh.AsFault(err) != fault || fault.Header != nil {
			t.Errorf("envelope %v: got %v, %v, header %v, want the fault as it was", envelope, resp, err, fault.Header)
		}
	}
}

func TestNothingToDoIsNoLayer(t *testing.T) {
	if layer, err := transform.New(transform.Config{Service: "orders", Version: "2"}); layer != nil || err != nil {
		t.Errorf("got %v, %v, want neither", layer, err)
	}
}

func TestWhatNewRefuses(t *testing.T) {
	set := func(name, value string) transform.Edit { return transform.Edit{Set: map[string]string{name: value}} }
	tests := []struct {
		name string
		cfg  transform.Config
		want string
	}{
		{"no name", transform.Config{Request: set("", "1")}, `request.set: "" is not a header name`},
		{"space in a name", transform.Config{Request: set("X A", "1")}, `request.set: "X A" is not a header name`},
		{"pseudo header", transform.Config{Response: set(":status", "1")}, `response.set: ":status" is not a header name`},
		{"line break in a value", transform.Config{Request: set("X-A", "1\r\nX-B: 2")}, `request.set: header "X-A": its value has a character that no header may have`},
		{"the same name twice", transform.Config{Request: transform.Edit{Add: map[string]string{"X-A": "1", "x-a": "2"}}}, `request.add: header "x-a" is the same as "X-A"`},
		{"Content-Length", transform.Config{Response: set("content-length", "1")}, `response.set: header "content-length" follows from the body`},
		{"Host", transform.Config{Request: set("Host", "a")}, `rewrite.host`},
		{"Host removed", transform.Config{Request: transform.Edit{Remove: []string{"host"}}}, `request.remove: header "host" cannot be edited`},
		{"negative bound", transform.Config{Envelope: true, MaxBody: -1}, `max_body: -1 is negative`},
	}
	for _, name := range []string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"TE", "Trailer", "Transfer-Encoding", "Upgrade",
	} { // RFC 9110, section 7.6.1
		tests = append(tests, struct {
			name string
			cfg  transform.Config
			want string
		}{name, transform.Config{Response: transform.Edit{Remove: []string{name}}}, `response.remove: header "` + name + `" belongs to one connection`})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			layer, err := transform.New(tt.cfg)
			if layer != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := transform.New(transform.Config{
		MaxBody:  -1,
		Request:  transform.Edit{Set: map[string]string{"Host": "a"}, Add: map[string]string{"X A": "b"}, Remove: []string{"Upgrade"}},
		Response: transform.Edit{Set: map[string]string{"Trailer": "a"}},
	})
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("got %v, want five faults, a line each", err)
	}
}

func TestAHostFieldOfAResponseIsOrdinary(t *testing.T) {
	if _, err := transform.New(transform.Config{Response: transform.Edit{Set: map[string]string{"Host": "a"}}}); err != nil {
		t.Error(err)
	}
}
