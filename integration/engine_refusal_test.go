package integration_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"outrider/integration/meshtest"
)

// TestEngineRefusals holds that who is no good at HTTP hears why, in a problem document
// with the proxy's name on it, that his connection ends, and that it is logged and
// counted under the code that he was told.
func TestEngineRefusals(t *testing.T) {
	refused := []struct {
		name, message string
		status        int
		code          string
	}{
		{"a head that is none", "hello\r\n\r\n", 400, "malformed"},
		{"TLS that is none", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "malformed"},
		{"no host", "GET /x HTTP/1.1\r\n\r\n", 400, "malformed"},
		{"two hosts", "GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "malformed"},
		{"a coding", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400, "malformed"},
		{"a coding and a length", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, "malformed"},
		{"a head without end", "GET /x HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-Test: "+strings.Repeat("x", 1000)+"\r\n", 60), 431, "header_too_large"},
		{"many fields", "GET /x HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: b\r\n", 1200) + "\r\n", 431, "header_too_large"},
		{"a target that is too long", "GET /" + strings.Repeat("x", 20<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long"},
		{"an expectation", "GET /x HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 400, "malformed"},
	}
	atBoth(t, func(t *testing.T) string {
		e := meshtest.RawOrigin(t, converse(func(_ net.Conn, req *http.Request, _ string) bool {
			t.Errorf("the endpoint got %s %s", req.Method, req.URL)
			return false
		}))
		return to("http://"+e.Addr, "retries: 0", "limits: {header_bytes: 16KiB}")
	}, func(t *testing.T, g *entrance) {
		codes, statuses := map[string]int{}, map[string]int{}
		for i, tt := range refused {
			s, err := g.speak(t)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, _ = io.WriteString(s, tt.message)
			resp, text, err := s.reply(http.MethodPost)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			if resp.StatusCode != tt.status || !strings.Contains(text, `"code":"`+tt.code+`"`) {
				t.Errorf("%s: %d %s, want %d %s", tt.name, resp.StatusCode, text, tt.status, tt.code)
			}
			if resp.Header.Get("Content-Type") != "application/problem+json" || !strings.HasPrefix(resp.Header.Get("Proxy-Status"), "outrider") || !resp.Close {
				t.Errorf("%s: answered with %v, close %v", tt.name, resp.Header, resp.Close)
			}
			if _, err := s.r.ReadByte(); !broken(err) {
				t.Errorf("%s: the connection goes on: %v", tt.name, err)
			}
			codes[tt.code]++
			statuses[fmt.Sprint(resp.StatusCode)]++
			eventually(t, tt.name+": a line in the access log", func() bool {
				lines := g.Access.Lines(t)
				return len(lines) > i && lines[i]["code"] == tt.code && lines[i]["status"] == float64(tt.status)
			})
		}
		for code, n := range codes {
			eventually(t, code+" is counted", func() bool {
				return g.Metric(fmt.Sprintf("outrider_faults_total{code=%q,direction=\"ingress\"}", code)) == fmt.Sprint(n)
			})
		}
		for status, want := range statuses {
			if n := requestsCounted(t, g, status); n != want {
				t.Errorf("gateway_requests_total has %d with status %s, want %d", n, status, want)
			}
		}
		if n := len(g.Access.Lines(t)); n != len(refused) {
			t.Errorf("%d lines in the access log, want %d", n, len(refused))
		}
	})
}

// requestsCounted returns how many requests have ended with a status.
func requestsCounted(t *testing.T, g *entrance, status string) int {
	t.Helper()
	sum := 0
	for line := range strings.Lines(g.Metrics()) {
		if strings.HasPrefix(line, "gateway_requests_total{") && strings.Contains(line, `status_code="`+status+`"`) {
			var n int
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n); err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}
