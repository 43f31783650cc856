package http1

import (
	"net/http"
	"strings"
	"testing"

	"outrider/internal/mesh"
)

func TestScanFindsTheEndHoweverTheHeadComes(t *testing.T) {
	for _, head := range []string{
		lines("GET / HTTP/1.1", "Host: a", "B: c"),
		lines("GET / HTTP/1.0"),
		lines("GET / HTTP/1.1", "Host: "+strings.Repeat("a", 100), "B:\t\xff c"),
	} {
		b := []byte(head + "GET /next\n\x00")
		for first := 1; first < len(head); first++ {
			for second := first; second <= len(b); second++ {
				seen := 0
				for _, size := range []int{first, second, len(b)} {
					n, fault := scan(b[:size], seen, usual)
					switch {
					case fault != nil:
						t.Fatalf("%d, %d, %d: %v", first, second, size, fault)
					case size < len(head) && n != 0, size >= len(head) && n != len(head):
						t.Fatalf("%d, %d: after %d of %d found %d", first, second, size, len(head), n)
					case n > 0:
						continue
					}
					seen = size
				}
			}
		}
	}
}

// Bytes that can be no head are refused before its end, which may never come.
func TestScanRefusesAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       flaw
	}{
		{"TLS", "\x16\x03\x01\x02", badByte},
		{"LF alone", "GET / HTTP/1.1\n", bareLF},
		{"LF first", "\n", bareLF},
		{"empty line first", "\r\n", emptyLine},
		{"bare CR", "GET /\rx", bareCR},
		{"bare CR first", "\rx", bareCR},
		{"two CRs", "GET / HTTP/1.1\r\r", bareCR},
		{"NUL", "GET / HTTP/1.1\r\nA: \x00", badByte},
		{"bare CR in a field", "GET / HTTP/1.1\r\nA: \rb", bareCR},
		{"bare CR for the empty line", "GET / HTTP/1.1\r\nA: b\r\n\rX", bareCR},
		{"DEL", "GET / HTTP/1.1\r\nA\x7f", badByte},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := []byte(tt.text)
			for first := range len(b) {
				n, f := find(b[:first], 0, usual)
				if n != 0 {
					t.Fatalf("%d of it: found %d", first, n)
				}
				if f == sound {
					_, f = find(b, first, usual)
				}
				if f == sound || first == 0 && f != tt.want {
					t.Errorf("%d of it first: got %v, want %v", first, f.fault(false), tt.want.fault(false))
				}
			}
		})
	}
}

func TestScanKeepsTheLimits(t *testing.T) {
	l := limits{head: 60, start: 20, line: 16, fields: 3}
	for _, tt := range []struct {
		name, text string
		want       flaw
		kind       mesh.Kind
	}{
		{"within", lines("GET /1234 HTTP/1.1", "A: 12345678901", "B: 12345678901", "C: 1"), sound, 0},
		{"as large as can be", lines("GET / HTTP/1.1", "A: 12345678901", "B: 12345678901", "C: 12345"), sound, 0},
		{"request line", lines("GET /12345 HTTP/1.1"), startTooLong, mesh.URITooLong},
		{"endless request line", "GET /aaaaaaaaaaaaaaaaaaaaaaa", startTooLong, mesh.URITooLong},
		{"line", lines("GET / HTTP/1.1", "A: 123456789012"), lineTooLong, mesh.HeaderTooLarge},
		{"endless line", "GET / HTTP/1.1\r\nA: aaaaaaaaaaaaaaaaaaa", lineTooLong, mesh.HeaderTooLarge},
		{"fields", lines("GET / HTTP/1.1", "A:", "B:", "C:", "D:"), tooManyFields, mesh.HeaderTooLarge},
		{"begun field", "GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD", tooManyFields, mesh.HeaderTooLarge},
		{"head", lines("GET / HTTP/1.1", "A: 12345678901", "B: 12345678901", "C: 12345678901"), headTooLong, mesh.HeaderTooLarge},
		{"head, by one byte", lines("GET / HTTP/1.1", "A: 12345678901", "B: 12345678901", "C: 123456"), headTooLong, mesh.HeaderTooLarge},
		{"endless head", "GET / HTTP/1.1\r\nA: 12345678901\r\nB: 12345678901\r\nC: 123456789", headTooLong, mesh.HeaderTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := []byte(tt.text)
			if _, f := find(b, 0, l); f != tt.want {
				t.Errorf("got %v, want %v", f.fault(false), tt.want.fault(false))
			}
			seen := 0
			for size := 1; size <= len(b); size++ { // and byte by byte
				n, fault := scan(b[:size], seen, l)
				if seen = size; fault != nil {
					if tt.want == sound {
						t.Errorf("after %d bytes: %v", size, fault)
					}
					break
				}
				if n > 0 && tt.want != sound || size == len(b) && n == 0 {
					t.Errorf("after %d of %d bytes found %d", size, len(b), n)
				}
			}
			if tt.want == sound {
				return
			}
			if got := tt.want.fault(false).Kind; got != tt.kind {
				t.Errorf("kind %v", got)
			}
			answer := l
			answer.response = true
			if _, fault := scan(b, 0, answer); fault.Kind != mesh.ResponseTooLarge {
				t.Errorf("of a response: %v", fault)
			}
		})
	}
}

// Each flaw has words and kinds, and a test that meets it.
func TestEveryFlawIsMet(t *testing.T) {
	met := map[flaw]bool{
		headTooLong: true, lineTooLong: true, startTooLong: true, tooManyFields: true, // TestScanKeepsTheLimits
		badByte: true, // TestScanRefusesAtOnce
	}
	for _, tt := range refusedRequests {
		met[tt.want] = true
	}
	for _, tt := range refusedResponses {
		met[tt.want] = true
	}
	for _, tt := range refusedChunks {
		met[tt.want] = true
	}
	for f := sound + 1; f < flaws; f++ {
		row := flawTable[f]
		if row.text == "" || row.request == mesh.Internal || row.response == mesh.Internal {
			t.Errorf("flaw %d: %+v", f, row)
		}
		if !met[f] {
			t.Errorf("no test meets %q", row.text)
		}
	}
}

func TestKnownNames(t *testing.T) {
	if len(known) > 1<<8 {
		t.Fatalf("%d names: an index has eight bits", len(known))
	}
	for i, name := range known[1:] {
		if http.CanonicalHeaderKey(name) != name {
			t.Errorf("%s is not canonical", name)
		}
		for _, spelled := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if got := intern([]byte(spelled)); int(got) != i+1 {
				t.Errorf("%s is found as %q", spelled, known[got])
			}
		}
		for _, near := range []string{name + "x", name[1:], "x" + name, strings.ReplaceAll(name, "-", "\r"), strings.ReplaceAll(name, "-", "_")} {
			if got := known[intern([]byte(near+" "))]; got != "" {
				t.Errorf("%q is found as %q", near, got)
			}
			if near != name && near != "" {
				if got := known[intern([]byte(near))]; got != "" && !strings.EqualFold(got, near) {
					t.Errorf("%q is found as %q", near, got)
				}
			}
		}
		flipped := []byte(name)
		for j := range flipped {
			flipped[j] ^= 0x20
			if got := known[intern(flipped)]; got != "" && !strings.EqualFold(got, string(flipped)) {
				t.Errorf("%q is found as %q", flipped, got)
			}
			flipped[j] ^= 0x20
		}
	}
	for i, want := range map[id]string{
		idHost: "Host", idContentLength: "Content-Length", idTransferEncoding: "Transfer-Encoding", idConnection: "Connection",
		idExpect: "Expect", idTrailer: "Trailer", idUpgrade: "Upgrade", idKeepAlive: "Keep-Alive", idProxyConnection: "Proxy-Connection",
	} {
		if known[i] != want {
			t.Errorf("id %d is %s, not %s", i, known[i], want)
		}
	}
}

func TestNamesBecomeCanonical(t *testing.T) {
	for _, name := range []string{"a", "A", "x-own", "X-OWN", "x--own-", "-x", "1a-2b", "x_y-Z", "~a", "aB!c-d"} {
		b := []byte(name)
		if canonical(b); string(b) != http.CanonicalHeaderKey(name) {
			t.Errorf("%s becomes %s", name, b)
		}
	}
}

// clean looks at eight bytes at a time, and must see each of them.
func TestCleanSeesEveryByte(t *testing.T) {
	for size := 1; size < 20; size++ {
		for at := range size {
			for c := range 256 {
				b := []byte(strings.Repeat("\xffa\t ~\x80!z", 3)[:size])
				b[at] = byte(c)
				if want := c == '\t' || c >= ' ' && c != 0x7f; clean(b) != want {
					t.Fatalf("%q: %v", b, !want)
				}
			}
		}
	}
}
