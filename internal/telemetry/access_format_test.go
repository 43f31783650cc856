package telemetry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"outrider/internal/mesh"
	"outrider/internal/telemetry"
)

// columns has quotes where values may hold spaces, words has none, asJSON is JSON.
const (
	columns = `{time} {direction} {client} "{method} {path} {proto}" {status} {code} "{error}" {attempts} {duration_ms} {slow} "{user_agent}"`
	asJSON  = `{{"path":"{path}","agent":"{user_agent}","tries":"{attempts}"}}`
	words   = `{method} {path} {user_agent} {error} {attempts}`
)

var formats = []string{"json", "common", "combined", columns, asJSON, words}

func format(t testing.TB, text string) *telemetry.LineFormat {
	t.Helper()
	f, err := telemetry.ParseLineFormat(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEveryFormatReadsAsWritten(t *testing.T) {
	route := &mesh.Route{Name: "/api/orders/**", Service: "orders"}
	server := func(agent string) func(*http.Request, *mesh.Call) {
		return func(req *http.Request, call *mesh.Call) {
			req.Header.Set("User-Agent", agent)
			call.Start = time.Now().Add(-1500 * time.Millisecond)
			call.Peer, call.Client = netip.MustParseAddrPort("10.0.0.9:51234"), netip.MustParseAddr("2001:db8::7")
			call.ID, call.Source = "0198c9f2", "spiffe://mesh/svc/web"
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var all strings.Builder
		for _, text := range formats {
			all.WriteString("# " + text + "\n")
			all.WriteString(written(t, telemetry.Lines{Format: format(t, text), Sample: 1, Slow: time.Second}, func(layer mesh.Layer) {
				exchange{method: "GET", url: "http://a/api/orders/a%20b?token=hidden", route: route, service: "orders",
					attempts: []mesh.Attempt{{Endpoint: "10.0.0.1:3003", Status: 200}},
					result:   mesh.Result{Status: 200, Sent: 1024}}.run(t, layer, server("curl/8.5.0"))
				exchange{method: "POST", url: "http://a/api/orders", route: route, service: "orders",
					attempts: []mesh.Attempt{
						{Endpoint: "10.0.0.1:3003", Duration: 250 * time.Microsecond, Err: errors.New(`no "way" there`)},
						{Endpoint: "10.0.0.2:3003", Duration: time.Second, Status: 200},
					},
					result: mesh.Result{Err: &mesh.Fault{Kind: mesh.ClientGone, Err: errors.New("gone away")}}}.run(t, layer, server(`a "b" \ c`))
				exchange{method: "GET", url: "http://a/", result: mesh.Result{Status: 404, Err: &mesh.Fault{Kind: mesh.NoRoute}}}.
					run(t, layer, func(_ *http.Request, call *mesh.Call) {
						call.Start, call.Peer = time.Now(), netip.MustParseAddrPort("10.0.0.9:51234")
					})
			}))
		}
		golden(t, "formats.log", all.String())
	})
}

// Whatever JSON says, a template can say.
func TestATemplateKnowsTheFieldsOfJSON(t *testing.T) {
	e := exchange{method: "GET", url: "/x", attempts: []mesh.Attempt{{Endpoint: "a"}, {Endpoint: "b"}}, result: mesh.Result{Status: 200}}
	late := func(_ *http.Request, call *mesh.Call) { call.Start = time.Now().Add(-time.Minute) }
	traces := telemetry.Traces(telemetry.TraceConfig{Propagators: carriers(t, "b3")})
	traced := func(l mesh.Layer) mesh.Layer {
		return func(next http.RoundTripper) http.RoundTripper { return mesh.Stack(next, l, traces) }
	}
	line := written(t, telemetry.Lines{Sample: 1, Slow: time.Second}, func(l mesh.Layer) { e.run(t, traced(l), late) })
	var names []string
	dec := json.NewDecoder(strings.NewReader(line))
	for depth := 0; ; {
		token, err := dec.Token()
		if err != nil {
			break
		}
		switch d, _ := token.(json.Delim); d {
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
			continue
		}
		if depth == 1 {
			names = append(names, fmt.Sprint(token))
			var value any
			if dec.Decode(&value) != nil {
				break
			}
		}
	}
	if got := telemetry.LineFields(); !reflect.DeepEqual(got, names) {
		t.Errorf("templates know %q, JSON has %q", got, names)
	}
	for _, name := range names {
		format(t, "{"+name+"}")
	}
}

func TestTemplatesThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "want json",
		"JSON":                               "want json",
		"{pth}":                              "there is no field {pth}",
		"{}":                                 "there is no field {}",
		"{*host}":                            "there is no field {*host}",
		"{ path }":                           "there is no field { path }",
		"{path":                              `the "{" is alone`,
		"{path} }":                           `the "}" is alone`,
		"{{path}}":                           "no field",
		"{path}\n":                           "one line",
		"{path}\x1b":                         "one line",
		"{path}\xff":                         "one line",
		"{path}" + strings.Repeat("x", 4096): "at most 4096 bytes",
	} {
		_, err := telemetry.ParseLineFormat(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

func TestWhatIsWritten(t *testing.T) {
	fault := &mesh.Fault{Kind: mesh.NoRoute}
	for _, tt := range []struct {
		name   string
		lines  telemetry.Lines
		took   time.Duration
		result mesh.Result
		id     string
		want   string // a part of the line; empty for none
	}{
		{"all", telemetry.Lines{Sample: 1}, 0, mesh.Result{Status: 200}, "x", `"status":200`},
		{"none", telemetry.Lines{}, time.Hour, mesh.Result{Status: 499}, "x", ""},
		{"none, without an id", telemetry.Lines{}, 0, mesh.Result{Status: 200}, "", ""},
		{"a fault always", telemetry.Lines{}, 0, mesh.Result{Status: 404, Err: fault}, "x", `"code":"no_route"`},
		{"a service's own 500 always", telemetry.Lines{}, 0, mesh.Result{Status: 500}, "x", `"status":500`},
		{"slow always, and marked", telemetry.Lines{Slow: time.Second}, time.Second + time.Millisecond, mesh.Result{Status: 200}, "x", `"duration_ms":1001,"slow":true,`},
		{"not slow yet", telemetry.Lines{Slow: time.Second}, time.Second, mesh.Result{Status: 200}, "x", ""},
		{"not slow, not marked", telemetry.Lines{Slow: time.Second, Sample: 1}, time.Second, mesh.Result{Status: 200}, "x", `"duration_ms":1000,"user_agent"`},
	} {
		synctest.Test(t, func(t *testing.T) {
			got := written(t, tt.lines, func(l mesh.Layer) {
				exchange{method: "GET", url: "/", result: tt.result}.run(t, l, func(_ *http.Request, call *mesh.Call) {
					call.ID, call.Start = tt.id, time.Now().Add(-tt.took)
				})
			})
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%s: %q, want %q in it", tt.name, got, tt.want)
			}
		})
	}
}

// Two proxies with one share write of the same requests, and of that share of them,
// however alike their ids are.
func TestSamplingFollowsTheRequest(t *testing.T) {
	ids := map[string]func(int) string{
		"counted": func(i int) string { return fmt.Sprint(i) },
		"UUIDs":   func(i int) string { return fmt.Sprintf("0198c9f2-6749-7911-ac80-%012x", i) },
		"none":    func(int) string { return "" },
	}
	const n = 4000
	run := func(share float64, id func(int) string) string {
		return written(t, telemetry.Lines{Format: format(t, "{request_id}"), Sample: share}, func(l mesh.Layer) {
			for i := range n {
				exchange{method: "GET", url: "/", result: mesh.Result{Status: 200}}.run(t, l, func(_ *http.Request, call *mesh.Call) { call.ID = id(i) })
			}
		})
	}
	for name, id := range ids {
		first := run(.25, id)
		if got := strings.Count(first, "\n"); got < n/4-150 || got > n/4+150 {
			t.Errorf("%s: %d of %d are written, want about a quarter", name, got, n)
		}
		if name == "none" {
			continue
		}
		if second := run(.25, id); second != first {
			t.Errorf("%s: another proxy writes of others", name)
		}
		more := run(.5, id)
		for line := range strings.Lines(first) {
			if !strings.Contains("\n"+more, "\n"+line) {
				t.Fatalf("%s: %q is written at a quarter, and not at a half", name, line)
			}
		}
	}
}

// harmless fails where a line could end early, or move the cursor of who reads it.
func harmless(t testing.TB, line string) {
	t.Helper()
	text, ended := strings.CutSuffix(line, "\n")
	if !ended || !utf8.ValidString(text) {
		t.Errorf("no line of text: %q", line)
	}
	for _, r := range text {
		if r != ' ' && !unicode.IsPrint(r) {
			t.Errorf("%q in %q", r, line)
		}
	}
}

// Whatever a client sends, each format gets one line in which its own quotes and spaces
// are the only ones.
func FuzzLineFormats(f *testing.F) {
	f.Add("GET", "/x", "curl", "refused")
	f.Add("G T", "/\r\n\" 200", `\" - "`, "\x1b[31m\u2028\u202e\u009b\U000e0001")
	f.Add("GET", "/", "\x7f", "a b")
	f.Add("\xff", "\xed\xa0\x80", `\`, "😀 \\\"")
	f.Fuzz(func(t *testing.T, method, path, agent, cause string) {
		for _, text := range formats {
			line := written(t, telemetry.Lines{Format: format(t, text), Sample: 1}, func(l mesh.Layer) {
				exchange{method: method, url: "/", attempts: []mesh.Attempt{{Endpoint: cause}},
					result: mesh.Result{Status: 502, Err: &mesh.Fault{Kind: mesh.Reset, Err: errors.New(cause)}}}.
					run(t, l, func(req *http.Request, _ *mesh.Call) {
						req.URL.Path, req.Header = path, http.Header{"User-Agent": {agent}}
					})
			})
			harmless(t, line)
			outside, quotes := unquoted(line)
			switch text {
			case "json":
				fields(t, line)
			case asJSON:
				m := fields(t, line)
				if tries := fmt.Sprint(m["tries"]); !json.Valid([]byte(tries)) {
					t.Errorf("no JSON in JSON: %s", tries)
				}
			case words:
				parts := strings.Split(strings.TrimSuffix(line, "\n"), " ")
				if len(parts) != 5 || !json.Valid([]byte(parts[4])) {
					t.Errorf("not five words, of which the last is a list: %q", line)
				}
			case "common", "combined":
				want := map[string]int{"common": 2, "combined": 6}[text]
				if quotes != want || len(strings.Fields(outside)) != 5+2+want/2 {
					t.Errorf("%s: %q has other columns than it should", text, line)
				}
			}
		}
	})
}

// unquoted returns what stands outside double quotes, with ” for what stands inside,
// and how many double quotes there are; escaped ones are text.
func unquoted(line string) (outside string, quotes int) {
	var out strings.Builder
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\':
			i++
		case line[i] == '"':
			if quotes++; quotes%2 == 0 {
				out.WriteString("”")
			}
		case quotes%2 == 0:
			out.WriteByte(line[i])
		}
	}
	return out.String(), quotes
}
