package bridge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// asked returns a request of a call.
func asked(method string, change func(*mesh.Call)) *http.Request {
	call := mesh.NewCall(context.Background())
	if change != nil {
		change(call)
	}
	return call.Bind(httptest.NewRequest(method, "/", nil))
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got\n%s", file, got)
	}
}

// dump writes a response as it would look on the wire.
func dump(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n", resp.Status)
	if err := resp.Header.Write(&b); err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n")
	if _, err := io.Copy(&b, resp.Body); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("\r"), nil)
}

func TestAnswerGolden(t *testing.T) {
	var problems, grpcs bytes.Buffer
	for _, kind := range mesh.Kinds() {
		problems.Write(dump(t, bridge.Answer(asked(http.MethodGet, nil), &mesh.Fault{Kind: kind}, bridge.AnswerOptions{})))
		problems.WriteString("\n")
		req := asked("POST", nil)
		req.Header.Set("Content-Type", "application/grpc+proto")
		grpcs.Write(dump(t, bridge.Answer(req, &mesh.Fault{Kind: kind}, bridge.AnswerOptions{})))
	}
	golden(t, "problems.golden", problems.Bytes())
	golden(t, "grpc.golden", grpcs.Bytes())

	full := &mesh.Fault{
		Kind: mesh.Limited, RetryAfter: 1500 * time.Millisecond, Message: `Slow down, "friend" <b>`, Endpoint: "10.0.0.7:80",
		Header: http.Header{"ratelimit": {"a"}, "Cache-Control": {"public"}},
		Err:    errors.New("a \"cause\" with \\ and \x00 and é"),
	}
	for _, trusted := range []bool{false, true} {
		req := asked(http.MethodGet, func(c *mesh.Call) { c.ID, c.Trusted = "id-1", trusted })
		got := dump(t, bridge.Answer(req, full, bridge.AnswerOptions{Pseudonym: pseudonym}))
		golden(t, "full-trusted-"+strconv.FormatBool(trusted)+".golden", got)
	}
}

func TestAnswerHidesInnards(t *testing.T) {
	secret := &mesh.Fault{Kind: mesh.Refused, Endpoint: "10.0.0.7:80", Err: errors.New("dial 10.0.0.7:80")}
	for _, req := range []*http.Request{asked(http.MethodGet, nil), httptest.NewRequest(http.MethodGet, "/", nil)} { // with a call, and without
		if got := dump(t, bridge.Answer(req, secret, bridge.AnswerOptions{})); bytes.Contains(got, []byte("10.0.0.7")) {
			t.Errorf("a stranger reads\n%s", got)
		}
	}
	req := asked(http.MethodGet, func(c *mesh.Call) { c.Trusted = true })
	long := &mesh.Fault{Kind: mesh.Refused, Err: errors.New(strings.Repeat("x", 10_000))}
	if got := bridge.Answer(req, long, bridge.AnswerOptions{}).Header.Get("Proxy-Status"); len(got) > 1000 {
		t.Errorf("Proxy-Status has %d bytes", len(got))
	}
}

func TestAnswerDoesNotShare(t *testing.T) {
	fault := &mesh.Fault{Kind: mesh.Limited, Header: http.Header{"X-A": {"1"}}}
	resp := bridge.Answer(asked(http.MethodGet, nil), fault, bridge.AnswerOptions{})
	resp.Header["X-A"][0] = "2"
	resp.Header.Set("X-B", "1")
	if fault.Header.Get("X-A") != "1" || len(fault.Header) != 1 {
		t.Errorf("the Fault's own header became %q", fault.Header)
	}
}

func TestAnswerFields(t *testing.T) {
	for _, tt := range []struct {
		name      string
		after     time.Duration
		pseudonym string
		want      map[string]string
	}{
		{"no retry", 0, "", map[string]string{"Retry-After": "", "Proxy-Status": "outrider; error=connection_refused"}},
		{"negative", -time.Second, "", map[string]string{"Retry-After": ""}},
		{"at least one", time.Nanosecond, "a", map[string]string{"Retry-After": "1", "Proxy-Status": "a; error=connection_refused"}},
		{"exact", 2 * time.Second, "x y", map[string]string{"Retry-After": "2", "Proxy-Status": `"x y"; error=connection_refused`}},
		{"up", 2*time.Second + 1, "9a", map[string]string{"Retry-After": "3", "Proxy-Status": `"9a"; error=connection_refused`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := bridge.Answer(asked(http.MethodGet, nil), &mesh.Fault{Kind: mesh.Refused, RetryAfter: tt.after}, bridge.AnswerOptions{Pseudonym: tt.pseudonym})
			for name, want := range tt.want {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

// Every kind reaches a client of every protocol as what the table says.
func TestFaultsOnTheWire(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		var fault *mesh.Fault
		p := serve(t, proto, func(*http.Request) (*http.Response, error) { return nil, fault })
		client := p.client(t)
		for _, kind := range mesh.Kinds() {
			for _, call := range []struct{ method, media string }{{"GET", ""}, {"HEAD", ""}, {"POST", "application/grpc"}, {"POST", "application/grpc-web+proto"}} {
				fault = &mesh.Fault{Kind: kind, Message: "100% über"}
				req := request(t, call.method, p.URL, nil)
				if call.media != "" {
					req.Header.Set("Content-Type", call.media)
				}
				resp, err := client.Do(req)
				if kind == mesh.ClientGone {
					if err == nil {
						t.Fatalf("a client that is gone was answered with %d", resp.StatusCode)
					}
					for r := range p.ends { // net/http's transport asks again where that is safe
						if r.Status != 499 {
							t.Errorf("result %+v", r)
						}
						if len(p.ends) == 0 {
							break
						}
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				if want := "edge-1; error=" + kind.Token(); resp.Header.Get("Proxy-Status") != want {
					t.Errorf("%v: Proxy-Status %q", kind, resp.Header.Get("Proxy-Status"))
				}
				checkAnswer(t, kind, call.method, call.media, resp, body)
				if r := await(t, p.ends); r.Status != resp.StatusCode || !errors.Is(r.Err, fault) {
					t.Errorf("%v: result %+v", kind, r)
				}
			}
		}
	})
}

func checkAnswer(t *testing.T, kind mesh.Kind, method, media string, resp *http.Response, body []byte) {
	t.Helper()
	switch {
	case media != "":
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Grpc-Status") != strconv.Itoa(kind.GRPC()) || len(body) > 0 ||
			resp.Header.Get("Grpc-Message") != "100%25 %C3%BCber" || resp.Header.Get("Content-Type") != media {
			t.Errorf("%v: %d %q %q", kind, resp.StatusCode, resp.Header, body)
		}
	case method == "HEAD":
		if resp.StatusCode != kind.Status() || len(body) > 0 || resp.ContentLength <= 0 {
			t.Errorf("%v: %d, length %d, %q", kind, resp.StatusCode, resp.ContentLength, body)
		}
	default:
		var problem struct{ Type, Title, Error, Code string }
		if err := json.Unmarshal(body, &problem); err != nil {
			t.Fatalf("%v: %q: %v", kind, body, err)
		}
		if resp.StatusCode != kind.Status() || problem.Error != "100% über" || problem.Code != kind.Code() || problem.Type != "about:blank" ||
			problem.Title != http.StatusText(kind.Status()) || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: %d %q %s", kind, resp.StatusCode, resp.Header, body)
		}
	}
}

// An error that is no Fault is our own mistake, and says nothing of itself.
func TestPlainError(t *testing.T) {
	p := serve(t, "h1", func(*http.Request) (*http.Response, error) { return nil, errors.New("secret") })
	resp, body := p.do(t, request(t, "GET", p.URL, nil))
	if resp.StatusCode != http.StatusInternalServerError || strings.Contains(body, "secret") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
